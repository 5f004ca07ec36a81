// Signed URLs are made for browsers. The token and the signature are what protects a sandbox, and a
// page has neither by itself: no cookie or the like goes with a request.

export function preflight(): Response {
  return allowBrowser(
    new Response(null, {
      status: 204,
      headers: {
        'access-control-allow-methods': 'GET, HEAD, POST, OPTIONS',
        'access-control-allow-headers': '*, Authorization',
        'access-control-max-age': '7200',
      },
    }),
  );
}

export function allowBrowser(response: Response): Response {
  response.headers.set('access-control-allow-origin', '*');
  response.headers.set('access-control-expose-headers', 'Content-Disposition, Content-Range, Last-Modified');
  return response;
}
