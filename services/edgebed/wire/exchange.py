"""One exchange of a hot connection: calling its handler, and writing the answer or why there is none.

`hot` says which bytes belong to which request; this is what happens once they are there.
"""

import asyncio
import math
from collections.abc import Awaitable
from enum import Enum
from typing import cast

from edgebed.wire.ordinary import Ordinary
from edgebed.wire.problems import Problem, unexpected
from edgebed.wire.routes import UploadReceiver
from edgebed.wire.shared import NO_REQUEST, Shared

State = Enum("State", "HEAD BODY FRAME PAYLOAD ORDINARY RUNNING ODD LINGER")
"""What the next byte of a connection belongs to; see `hot`."""


class Exchange(asyncio.BufferedProtocol):
    """The state of a connection, and its answers."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._transport = cast(asyncio.Transport, None)  # there before anything else is called
        self._state = State.HEAD
        self.deadline = math.inf
        self._request = NO_REQUEST
        self._kept = bytearray()
        """What has arrived of a head, of a body, or of requests that have to wait."""
        self._remaining = 0
        """Bytes of the payload or of the ordinary body that have not arrived."""
        self._progress = 0
        """Bytes since the deadline was moved."""
        self._receiver: UploadReceiver | None = None
        self._ordinary: Ordinary | None = None
        self._answered = False
        """Whether the application has answered the ordinary request."""
        self._reading, self._writable, self._last = True, True, False

    # Handlers

    def _call(self, body: bytes) -> None:
        request = self._request
        try:
            answer = request.unary(body, request.content_type)
        except Exception as error:
            self._refuse(self._problem(error))
            return
        if isinstance(answer, bytes):
            self._answer(answer)
        else:
            self._state, self.deadline = State.RUNNING, math.inf
            self._shared.own(self._await(answer))

    async def _await(self, answer: Awaitable[bytes]) -> None:
        try:
            body = await answer
        except Exception as error:
            problem = self._problem(error)
            if self._state is State.RUNNING:  # else the peer has left
                self._refuse(problem)
        else:
            if self._state is State.RUNNING:
                self._answer(body)
        if self._state is State.HEAD:
            self._next()

    def _count(self, count: int) -> bool:
        """Whether the receiver goes on."""
        assert self._receiver is not None  # as long as the state is PAYLOAD
        try:
            self._receiver.received(count)
        except Exception as error:
            self._receiver = None
            self._refuse(self._problem(error), close=True)
            return False
        return True

    def _complete(self) -> None:
        receiver, self._receiver = self._receiver, None
        assert receiver is not None  # as long as the state is PAYLOAD
        try:
            answer = receiver.complete()
        except Exception as error:
            self._refuse(self._problem(error))
        else:
            self._answer(answer)

    def _lose(self) -> None:
        receiver, self._receiver = self._receiver, None
        if receiver is not None:
            try:
                receiver.lost()
            except Exception as error:
                unexpected(error, self._request.where)

    def _problem(self, error: Exception) -> Problem:
        return error if isinstance(error, Problem) else unexpected(error, self._request.where)

    # Answers

    def _answer(self, body: bytes) -> None:
        keep = self._request.keep and not self._last
        self._transport.write(self._shared.acceptance(body, keep))
        if keep:
            self._wait_for_next()
        else:
            self._end()

    def _refuse(self, problem: Problem, *, close: bool = False) -> None:
        """Says no. With `close`, what the peer still sends is not a request any more."""
        close = close or self._last or not self._request.keep
        self._transport.write(self._shared.refusal(problem, close=close))
        if close:
            self._end()
        else:
            self._wait_for_next()

    def _wait_for_next(self) -> None:
        self._state = State.HEAD
        limits = self._shared.limits
        self.deadline = self._shared.now + (limits.keep_alive_s if self._writable else limits.stall_s)

    def _end(self) -> None:
        """Closes our side only; closing both while the peer sends would reset the connection under our answer."""
        self._state = State.LINGER
        self._kept.clear()
        self.deadline = self._shared.now + self._shared.limits.linger_s
        self._lose()
        if self._ordinary is not None:
            self._ordinary.leave()
        if not self._reading:
            self._reading = True
            self._transport.resume_reading()
        self._transport.write_eof()

    def _next(self) -> None:
        """Goes on with what arrived early."""
        raise NotImplementedError
