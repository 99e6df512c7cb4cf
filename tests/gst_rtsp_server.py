"""An RTSP server that behaves like a camera, on GStreamer. Runs under the system's Python, which has `gi`.

    /usr/bin/python3 tests/gst_rtsp_server.py '{"mounts": {"cam": {"file": "a.h264", "fps": 25}}}'

The one argument is JSON: `port` (0 picks one), `mounts` (name to file and fps), `limit` (pictures until the stream
ends, 0 never), `loss` (share of RTP packets that vanish), `transport` (any, tcp, udp), `auth` (none, basic, digest),
`user`, `password`. Prints `port N` once it listens, and ends when its standard input closes, so that it cannot
outlive the test that started it.

Files are bare H.264 with an access unit delimiter before each picture and no B-frames. They repeat without end, and
time goes on rising.
"""

import json
import pathlib
import re
import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtsp", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtsp, GstRtspServer  # noqa: E402

ROLE = "viewer"
DELIMITER = re.compile(rb"(?=\x00\x00\x00\x01\x09)")
TRANSPORTS = {
    "any": GstRtsp.RTSPLowerTrans.TCP | GstRtsp.RTSPLowerTrans.UDP,
    "tcp": GstRtsp.RTSPLowerTrans.TCP,
    "udp": GstRtsp.RTSPLowerTrans.UDP,
}


class Camera(GstRtspServer.RTSPMediaFactory):
    """One mount: all its viewers share one running stream."""

    def __init__(self, file, fps, limit, loss):
        super().__init__()
        self.pictures = [unit for unit in DELIMITER.split(pathlib.Path(file).read_bytes()) if unit]
        self.interval_ns = round(Gst.SECOND / fps)
        self.limit = limit
        payload = "h264parse config-interval=-1 ! rtph264pay config-interval=-1 pt=96 mtu=600"
        # A payloader must be called pay0; so must whatever stands last.
        end = f"{payload} ! identity name=pay0 drop-probability={loss}" if loss else f"{payload} name=pay0"
        caps = "video/x-h264,stream-format=byte-stream,alignment=au"
        self.set_launch(f"( appsrc name=camera format=time is-live=true block=true caps={caps} ! {end} )")
        self.set_shared(True)
        self.set_latency(0)

    def feed_media(self, _factory, media):
        """Feed pictures whenever the source asks for some."""
        sent = 0

        def feed(source, _wanted):
            nonlocal sent
            if self.limit and sent >= self.limit:
                source.emit("end-of-stream")
                return
            buffer = Gst.Buffer.new_wrapped(self.pictures[sent % len(self.pictures)])
            buffer.pts = buffer.dts = sent * self.interval_ns
            buffer.duration = self.interval_ns
            sent += 1
            source.emit("push-buffer", buffer)

        media.get_element().get_child_by_name("camera").connect("need-data", feed)


def make_auth(kind, user, password):
    token = GstRtspServer.RTSPToken()
    token.set_string(GstRtspServer.RTSP_TOKEN_MEDIA_FACTORY_ROLE, ROLE)
    auth = GstRtspServer.RTSPAuth()
    if kind == "basic":
        auth.set_supported_methods(GstRtsp.RTSPAuthMethod.BASIC)
        auth.add_basic(GstRtspServer.RTSPAuth.make_basic(user, password), token)
    else:
        auth.set_supported_methods(GstRtsp.RTSPAuthMethod.DIGEST)
        auth.add_digest(user, password, token)
    return auth


def allow_viewers(camera):
    permissions = GstRtspServer.RTSPPermissions()
    for right in (GstRtspServer.RTSP_PERM_MEDIA_FACTORY_ACCESS, GstRtspServer.RTSP_PERM_MEDIA_FACTORY_CONSTRUCT):
        permissions.add_permission_for_role(ROLE, right, True)
    camera.set_permissions(permissions)


def main(settings):
    Gst.init(None)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(str(settings.get("port", 0)))
    kind = settings.get("auth", "none")
    if kind != "none":
        server.set_auth(make_auth(kind, settings["user"], settings["password"]))
    for name, mount in settings["mounts"].items():
        camera = Camera(mount["file"], mount["fps"], settings.get("limit", 0), settings.get("loss", 0))
        camera.connect("media-configure", camera.feed_media)
        camera.set_protocols(TRANSPORTS[settings.get("transport", "any")])
        if kind != "none":
            allow_viewers(camera)
        server.get_mount_points().add_factory(f"/{name}", camera)
    if server.attach(None) == 0:
        sys.exit("cannot listen on 127.0.0.1")
    loop = GLib.MainLoop()
    GLib.io_add_watch(GLib.IOChannel.unix_new(0), GLib.PRIORITY_DEFAULT, GLib.IOCondition.HUP, lambda *_: loop.quit())
    # Forget viewers that went away without a word, or their threads keep the stream busy.
    GLib.timeout_add_seconds(2, lambda: (server.get_session_pool().cleanup(), True)[1])
    print("port", server.get_bound_port(), flush=True)
    loop.run()


main(json.loads(sys.argv[1]))
