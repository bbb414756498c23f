"""Placeholder for now."""


class SpendingLimits:
    async def subscribe(self, body: bytes, consumer: str) -> tuple[str, bytes]:
        raise NotImplementedError

    async def modify(self, identifier: str, body: bytes, consumer: str) -> bytes:
        raise NotImplementedError

    async def unsubscribe(self, identifier: str, consumer: str) -> None:
        raise NotImplementedError
