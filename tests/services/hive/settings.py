"""How Hive runs here: both servers in one folder, on loopback, the engine within HiveServer2."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from xml.sax.saxutils import escape

from tests.services.process import install

__all__ = ["KEYS", "java", "keystore", "write"]

KEYS = "changeit"
"""The keystore's password."""

_OPENED = ("io", "lang", "lang.reflect", "net", "nio", "text", "time", "util", "util.concurrent",
           "util.concurrent.atomic", "util.regex")  # fmt: skip
_LOGGING = """
status = error
rootLogger.level = INFO
rootLogger.appenderRef.console.ref = console
appender.console.type = Console
appender.console.name = console
appender.console.target = SYSTEM_ERR
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d %p [%t] %c{2}: %m%n
logger.nucleus.name = DataNucleus
logger.nucleus.level = ERROR
logger.tez.name = org.apache.tez
logger.tez.level = WARN
"""


def java(home: Path, folder: Path, heap: str, main: str, *arguments: str) -> list[str | Path]:
    """The command of one of Hive's programs: jars from `home`, all it writes in `folder`."""
    opens = [f"--add-opens=java.base/java.{name}=ALL-UNNAMED" for name in _OPENED]
    opens += [f"--add-opens={name}=ALL-UNNAMED" for name in ("java.base/sun.nio.ch", "java.sql/java.sql")]
    # Without the second compiler it is up in half the time; the tests' statements are small.
    return [
        install("default-jre-headless", "java"),
        *opens,
        f"-Xmx{heap}",
        "-XX:+UseSerialGC",
        "-XX:TieredStopAtLevel=1",
        "-Djava.net.preferIPv4Stack=true",
        "-Duser.timezone=Europe/Berlin",  # so that a mistake with zones is seen
        f"-Djava.io.tmpdir={folder}/tmp",
        f"-Dderby.stream.error.file={folder}/derby.log",
        f"-Dlog4j2.configurationFile={folder}/conf/log4j2.properties",
        "-cp",
        f"{folder}/conf:{home}/classes:{home}/lib/*",
        main,
        *arguments,
    ]


def write(
    folder: Path, *, metastore: int, binary: int, http: int, web: int, more: Mapping[str, str] | None = None
) -> None:
    """The folders, and `conf/` for these ports. Both servers read the same settings."""
    for name in ("conf", "tmp", "scratch/operations", "warehouse"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    text = _xml({**_settings(folder, metastore, binary, http, web), **(more or {})})
    (folder / "conf/hive-site.xml").write_text(text)
    (folder / "conf/metastore-site.xml").write_text(text)
    (folder / "conf/core-site.xml").write_text(_xml({"fs.defaultFS": "file:///", "hadoop.tmp.dir": f"{folder}/tmp"}))
    (folder / "conf/log4j2.properties").write_text(_LOGGING)
    for other in ("hive-log4j2", "metastore-log4j2"):
        shutil.copy(folder / "conf/log4j2.properties", folder / f"conf/{other}.properties")


def keystore(folder: Path) -> None:
    """`keys.p12`, a key for 127.0.0.1 and localhost with a certificate of its own, which lies in `certificate.pem`."""
    for old in folder.glob("keys.p12"):
        old.unlink()
    keytool = str(Path(install("default-jre-headless", "java")).resolve().with_name("keytool"))
    common = ["-keystore", f"{folder}/keys.p12", "-storetype", "PKCS12", "-storepass", KEYS, "-alias", "hive"]
    for arguments in (
        ["-genkeypair", *common, "-keyalg", "RSA", "-keysize", "2048", "-validity", "30", "-dname", "CN=localhost",
         "-ext", "SAN=IP:127.0.0.1,DNS:localhost"],
        ["-exportcert", "-rfc", *common, "-file", f"{folder}/certificate.pem"],
    ):  # fmt: skip
        subprocess.run([keytool, *arguments], check=True, capture_output=True, timeout=120)


def _xml(settings: Mapping[str, str]) -> str:
    lines = [
        f"<property><name>{escape(name)}</name><value>{escape(value)}</value></property>"
        for name, value in settings.items()
    ]
    return "\n".join(["<configuration>", *lines, "</configuration>", ""])


def _settings(folder: Path, metastore: int, binary: int, http: int, web: int) -> dict[str, str]:
    here = "127.0.0.1"
    return {
        # The metastore, with Derby in its process.
        "javax.jdo.option.ConnectionURL": f"jdbc:derby:;databaseName={folder}/metastore_db;create=true",
        "javax.jdo.option.ConnectionDriverName": "org.apache.derby.jdbc.EmbeddedDriver",
        "hive.metastore.schema.verification": "true",
        "hive.metastore.uris": f"thrift://{here}:{metastore}",
        "hive.metastore.port": str(metastore),
        "metastore.thrift.port": str(metastore),
        "metastore.thrift.bind.host": here,
        "hive.metastore.warehouse.dir": f"file://{folder}/warehouse/managed",
        "hive.metastore.warehouse.external.dir": f"file://{folder}/warehouse/external",
        "hive.metastore.event.db.notification.api.auth": "false",
        "hive.notification.event.poll.interval": "0s",
        "hive.metastore.connect.retries": "90",  # the servers start side by side
        "hive.metastore.client.connect.retry.delay": "1s",
        # HiveServer2
        "hive.server2.thrift.bind.host": here,
        "hive.server2.transport.mode": "all",
        "hive.server2.thrift.port": str(binary),
        "hive.server2.thrift.http.port": str(http),
        "hive.server2.webui.host": here,
        "hive.server2.webui.port": str(web),
        "hive.server2.authentication": "CUSTOM",
        "hive.server2.custom.authentication.class": "OneUser",
        "hive.server2.enable.doAs": "false",
        "hive.server2.tez.initialize.default.sessions": "false",
        "hive.server2.logging.operation.log.location": f"{folder}/scratch/operations",
        # The engine: Tez in HiveServer2's process.
        "hive.execution.engine": "tez",
        "tez.local.mode": "true",
        "tez.local.mode.without.network": "true",
        "tez.ignore.lib.uris": "true",
        "tez.runtime.optimize.local.fetch": "true",
        "tez.staging-dir": f"{folder}/scratch/staging",
        "hive.tez.container.size": "512",
        "hive.exec.submit.local.task.via.child": "false",
        # All that is written lies in the folder.
        "hive.exec.scratchdir": f"file://{folder}/scratch/hive",
        "hive.exec.local.scratchdir": f"{folder}/scratch/local",
        "hive.downloaded.resources.dir": f"{folder}/scratch/${{hive.session.id}}_resources",
        "hive.querylog.location": f"{folder}/scratch/log",
        "hive.user.install.directory": f"file://{folder}/scratch/user",
        # SQL
        "hive.exec.dynamic.partition.mode": "nonstrict",
        "hive.support.special.characters.tablename": "true",
    }
