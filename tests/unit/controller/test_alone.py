"""A controller waits for the one before it, and for nobody who was killed."""

import asyncio
import fcntl

from edgebed.controller.alone import FILE, alone


def test_the_next_one_begins_when_the_one_before_has_ended(tmp_path, caplog):
    async def both():
        order = []
        began = asyncio.Event()

        async def first():
            async with alone(tmp_path, asyncio.Event()):
                began.set()
                await asyncio.sleep(0.3)
                order.append("first ends")

        async def second():
            await began.wait()
            async with alone(tmp_path, asyncio.Event()):
                order.append("second begins")

        await asyncio.gather(first(), second())
        return order

    assert asyncio.run(both()) == ["first ends", "second begins"]
    assert caplog.text.count("another controller has") == 1


def test_who_is_told_to_stop_waits_no_longer(tmp_path):
    async def stopped():
        stop = asyncio.Event()
        asyncio.get_running_loop().call_later(0.1, stop.set)
        async with alone(tmp_path, stop):
            return stop.is_set()

    with (tmp_path / FILE).open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert asyncio.run(asyncio.wait_for(stopped(), 5))
