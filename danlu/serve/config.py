"""What may be asked of the server. Serving is no stage: it reads a release and writes no artifact."""

from __future__ import annotations

from pydantic import Field, model_validator

from danlu.core.config import Config


class ServeConfig(Config):
    """How the released model answers over HTTP."""

    host: str = Field("127.0.0.1", description="Address to listen on; the default is reachable from this machine only.")
    port: int = Field(8000, ge=0, le=65535, description="TCP port; 0 takes a free one.")
    keys: bool = Field(True, description="Ask for an API key; one is made on the first start.")
    max_body_bytes: int = Field(1_000_000, ge=1_000, description="Largest request body, in bytes.")
    max_texts: int = Field(256, ge=1, description="Most texts in one request.")
    max_characters: int = Field(20_000, ge=1, description="Longest text in one request, in characters.")
    max_new_tokens: int = Field(512, ge=1, description="Most tokens one generation may yield.")
    max_batch: int = Field(32, ge=1, description="Most texts answered in one forward pass.")
    max_waiting: int = Field(1_024, ge=1, description="Texts that may wait; further ones get status 429.")
    max_streams: int = Field(16, ge=1, description="Generations under way at once; further ones get status 429.")

    @model_validator(mode="after")
    def _a_request_fits(self) -> ServeConfig:
        if self.max_texts > self.max_waiting:
            raise ValueError(
                f"max_texts is {self.max_texts}, above max_waiting, which is {self.max_waiting}: such a request could "
                "never be answered"
            )
        return self
