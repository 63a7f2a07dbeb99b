"""What a kubelet asks: `/healthz`, whether a restart would help, and `/readyz`, whether answers about pods can be had.

Neither queries the site, and neither requires a token: they reveal nothing about pods. An outage of the site
makes neither of them fail: no restart helps, and interLink has to reach a sidecar that reports `pods: 0`, not one that
seems to be gone, since without any answer Kubernetes evicts the node's pods after five minutes.
"""

from __future__ import annotations

from aiohttp import web

from remote_slurm.api.handlers import ACCOUNTS

health_routes = web.RouteTableDef()


@health_routes.get("/healthz")
async def healthz(request: web.Request) -> web.Response:
    """503 once the next poll of the site is long overdue, whether it would succeed or fail."""
    seconds = request.app[ACCOUNTS].overdue
    if seconds:
        late = f"the next poll of the site is overdue by {seconds:.0f} s"
        raise web.HTTPServiceUnavailable(reason=f"{late}: restart the sidecar")
    if superseded := request.app[ACCOUNTS].superseded:
        # not an error: a restart would take the folder from the newer sidecar, which would then be the older one
        return web.Response(text=f"superseded: {superseded}\n")
    return web.Response(text="ok\n")


@health_routes.get("/readyz")
async def readyz(request: web.Request) -> web.Response:
    """503 until the site was reached for the first time, and its pods are known.

    A superseded sidecar is ready: in a rolling update it serves until the newer one is ready as well.
    """
    if not request.app[ACCOUNTS].recovered:
        raise web.HTTPServiceUnavailable(reason="the site's pods are not known yet")
    return web.Response(text="ok\n")
