# The Jupyter server of the code interpreter. Its clients send neither a token nor a cookie: who may reach it is
# decided on the host, whose doors ask for what a sandbox's owner knows.
c = get_config()  # noqa: F821

c.ServerApp.ip = "0.0.0.0"
c.ServerApp.port = 8888
c.ServerApp.port_retries = 0
c.ServerApp.open_browser = False
c.ServerApp.root_dir = "/home/user"

c.ServerApp.token = ""
c.ServerApp.password = ""
c.ServerApp.disable_check_xsrf = True
# The host's doors pass on the name that the client used.
c.ServerApp.allow_remote_access = True

# A cell that prints a lot is heard in full; by default the server drops what is above 1 MB/s.
c.ServerApp.limit_rate = False

# Kernels listen on sockets in a folder of the user's, and not on ports that could be reached from outside.
c.KernelManager.transport = "ipc"
