"""Calls the seed's control plane with grpcio's asyncio client, as its SDK does: JSON lines in, JSON lines out.

The messages are written down here once more, so that a wrong number in the server's own file is seen.
"""

import asyncio
import json
import sys

import grpc
from google.protobuf import (
    descriptor_pb2,
    descriptor_pool,
    empty_pb2,
    json_format,
    message_factory,
    timestamp_pb2,
)

Field = descriptor_pb2.FieldDescriptorProto
TYPES = {
    "string": Field.TYPE_STRING,
    "bool": Field.TYPE_BOOL,
    "int64": Field.TYPE_INT64,
    "uint32": Field.TYPE_UINT32,
}

MESSAGES = {
    "SandboxInfo": {
        1: "string sandboxID",
        2: "string templateID",
        3: "string kernelVersion",
        4: "uint32 pid",
        5: "int64 fcNetworkIdx",
        6: "string privateIP",
        7: ".google.protobuf.Timestamp startTime",
        8: "bool enableDiffSnapshots",
        9: ".SandboxState state",
        10: "map metadata",
    },
    "SandboxCreateRequest": {
        1: "string templateID",
        3: "int64 maxInstanceLength",
        4: "string sandboxID",
        5: "bool enableDiffSnapshots",
        6: "map metadata",
        7: "string hypervisorBinaryPath",
    },
    "SandboxCreateResponse": {1: ".SandboxInfo info"},
    "SandboxListRequest": {1: "bool orphan", 2: "bool running"},
    "SandboxListResponse": {1: "repeated .SandboxInfo sandboxes"},
    "SandboxRequest": {1: "string sandboxID"},
    "SandboxSearchResponse": {1: ".SandboxInfo sandbox"},
    "SandboxSnapshotRequest": {1: "string sandboxID", 2: "bool delete"},
    "SandboxSnapshotResponse": {1: "string path"},
    "SandboxPurgeRequest": {1: "bool purgeAll", 2: "repeated string SandboxIDs"},
    "SandboxPurgeResponse": {1: "bool success", 2: "string msg"},
    "DeactivateResponse": {1: "int64 reclaimedBytes", 2: "int64 beforeBytes", 3: "int64 afterBytes"},
    "CleanNetworkRequest": {1: "repeated int64 NetworkIDs"},
}
STATES = ["UNSPECIFY", "INVALID", "RUNNING", "STOP", "CLEANNING", "SNAPSHOTTING", "ORPHAN"]

# The seed's SDK reads most answers as Empty, and sends Empty to List.
METHODS = {
    "/Sandbox/Create": ("SandboxCreateRequest", "SandboxCreateResponse"),
    "/Sandbox/List": ("SandboxListRequest", "SandboxListResponse"),
    "/Sandbox/Delete": ("SandboxRequest", "Empty"),
    "/Sandbox/Deactive": ("SandboxRequest", "DeactivateResponse"),
    "/Sandbox/Snapshot": ("SandboxSnapshotRequest", "SandboxSnapshotResponse"),
    "/Sandbox/Search": ("SandboxRequest", "SandboxSearchResponse"),
    "/Sandbox/Purge": ("SandboxPurgeRequest", "SandboxPurgeResponse"),
    "/HostManage/RecreateCgroup": ("Empty", "Empty"),
    "/HostManage/CleanNetworkEnv": ("CleanNetworkRequest", "Empty"),
}


def build_classes():
    file = descriptor_pb2.FileDescriptorProto(
        name="seed_test.proto", syntax="proto3", dependency=["google/protobuf/timestamp.proto"]
    )
    states = file.enum_type.add(name="SandboxState")
    for number, name in enumerate(STATES):
        states.value.add(name=name, number=number)
    for name, fields in MESSAGES.items():
        message = file.message_type.add(name=name)
        for number, text in fields.items():
            add_field(message, number, text)
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(timestamp_pb2.DESCRIPTOR.serialized_pb)
    pool.Add(file)
    classes = {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(name)) for name in MESSAGES
    }
    return classes | {"Empty": empty_pb2.Empty}


def add_field(message, number, text):
    *repeated, kind, name = text.split(" ")
    many = bool(repeated) or kind == "map"
    field = message.field.add(
        name=name, number=number, label=Field.LABEL_REPEATED if many else Field.LABEL_OPTIONAL
    )
    if kind == "map":
        entry = message.nested_type.add(name="MetadataEntry")
        entry.options.map_entry = True
        for position, part in enumerate(["key", "value"], 1):
            entry.field.add(
                name=part, number=position, label=Field.LABEL_OPTIONAL, type=Field.TYPE_STRING
            )
        field.type, field.type_name = Field.TYPE_MESSAGE, f".{message.name}.MetadataEntry"
    elif kind.startswith("."):
        is_enum = kind == ".SandboxState"
        field.type = Field.TYPE_ENUM if is_enum else Field.TYPE_MESSAGE
        field.type_name = kind
    else:
        field.type = TYPES[kind]


async def answer(channel, classes, line):
    call = json.loads(line)
    path, raw = call["method"], call.get("raw")
    request_name, response_name = METHODS.get(path, ("Empty", "Empty"))
    response_class = classes[response_name if not call.get("asEmpty") else "Empty"]
    send = channel.unary_unary(
        path,
        request_serializer=(lambda given: given) if raw is not None else classes[request_name].SerializeToString,
        response_deserializer=response_class.FromString,
    )
    request = (
        bytes.fromhex(raw)
        if raw is not None
        else json_format.ParseDict(call.get("request", {}), classes[request_name]())
    )
    try:
        response = await send(request, timeout=call.get("timeout"))
    except grpc.aio.AioRpcError as error:
        return {"code": error.code().name, "details": error.details()}
    return {
        "code": "OK",
        "response": json_format.MessageToDict(response, preserving_proto_field_name=True),
    }


async def main():
    classes = build_classes()
    loop = asyncio.get_running_loop()
    async with grpc.aio.insecure_channel(sys.argv[1]) as channel:
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            print(json.dumps(await answer(channel, classes, line)), flush=True)


asyncio.run(main())
