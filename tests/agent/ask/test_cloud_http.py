"""The HTTP door while the files that TLS is made of are replaced under it, and before a network that swallows all."""

from __future__ import annotations

import asyncio
import shutil
import socket
import ssl
from contextlib import ExitStack
from pathlib import Path

import pytest

from agent.adapters.cloud_http import CloudHttp, Shown, TryAgain
from agent.ask.settings import AskSettings
from agent.deliver.ledger import Ledger
from tests.agent.ask.scripted_cloud import Request, ScriptedCloud, always, response
from tests.agent.deliver.kept_receipts import KeptReceipts
from tests.agent.update.trust.test_https import certificate

BOUND_S = 60.0
TAKEN = response(204)


async def test_new_requests_go_over_new_connections_and_one_under_way_ends_over_the_old(tmp_path: Path) -> None:
    pem = certificate(tmp_path)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(pem)
    held, arrived = asyncio.Event(), asyncio.Event()

    async def slowly(_: Request) -> bytes:
        arrived.set()
        await held.wait()
        return TAKEN

    server = ScriptedCloud([slowly], always(TAKEN), tls=tls)
    await server.start()
    settings = AskSettings(url=f"https://127.0.0.1:{server.port}", ca_file=pem)
    receipts = KeptReceipts()
    cloud = await asyncio.to_thread(CloudHttp, settings, token=lambda: None, ledger=Ledger(), receipts=receipts)
    put = lambda number: cloud.put_snapshot(Shown(f"{number:032x}"), b"a picture", timeout_s=BOUND_S)  # noqa: E731
    async with asyncio.timeout(BOUND_S):
        under_way = asyncio.create_task(put(1))
        await arrived.wait()
        shutil.copy(pem, tmp_path / "again.pem")
        (tmp_path / "again.pem").replace(pem)
        await put(2)
        await put(3)
        assert server.connections == 2, "the new one is kept alive, the old one not used again"
        pem.write_text("half a certificate")
        await put(4)
        assert server.connections == 2, "files that can't be used leave what there is"
        held.set()
        await under_way
        await cloud.close()
    assert [outcome for _, outcome, _ in sorted(receipts.ended)] == ["status 204"] * 4
    await server.stop()


async def test_what_never_reached_the_cloud_left_nothing_though_nobody_refused_it(tmp_path: Path) -> None:
    with ExitStack() as open_:
        # Its queue takes one connection; the packets of any other are dropped, as by an uplink that is cut.
        silent = open_.enter_context(socket.socket())
        silent.bind(("127.0.0.1", 0))
        silent.listen(0)
        port = silent.getsockname()[1]
        for _ in range(4):
            waiting = open_.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(("127.0.0.1", port))
        ledger, receipts = Ledger(), KeptReceipts()
        settings = AskSettings(url=f"http://127.0.0.1:{port}", connect_timeout_s=60)
        cloud = await asyncio.to_thread(CloudHttp, settings, token=lambda: None, ledger=ledger, receipts=receipts)
        async with asyncio.timeout(BOUND_S):
            with pytest.raises(TryAgain):
                await cloud.put_snapshot(Shown("1" * 32), b"a picture", timeout_s=0.2)
            await cloud.close()
    assert [(outcome, sent) for _, outcome, sent in receipts.ended] == [("not reached", 0)]
    assert ledger.bytes_by_reason() == {}
