"""What travels through Prefect: a reference to an artifact, checked whenever it is read.

Prefect would serve a cached result though its files are gone. A result serializer whose `loads`
looks for the files and raises where they are not makes Prefect run the task again instead. It
leans on how Prefect 3.8 reads results: `tests/tasks/test_reference.py` holds it to that.
"""

import json
from typing import Any, Literal

from prefect.serializers import Serializer

from birdcore.store.artifact import Ref
from birdcore.store.format import StoreError
from birdcore.store.location import open_store


class ReferenceSerializer(Serializer):
    """Writes a Ref as JSON; reading raises StoreError where the artifact is not there in full.

    Prefect hands it the errors of failed steps too: of those the message is kept.
    """

    type: Literal["birdflow-reference"] = "birdflow-reference"
    store: str = ""
    """Prefect's API gives states back with the type alone; the result's own file has it in full."""

    def dumps(self, obj: Any) -> bytes:
        if isinstance(obj, BaseException):
            return json.dumps({"error": str(obj)}).encode()
        assert isinstance(obj, Ref)
        return json.dumps({"stage": obj.stage, "key": obj.key}).encode()

    def loads(self, blob: bytes) -> Ref | RuntimeError:
        try:
            fields = json.loads(blob)
            if "error" in fields:
                return RuntimeError(fields["error"])
            ref = Ref(**fields)
        except (ValueError, TypeError, RecursionError) as error:
            raise StoreError(f"a result that is no reference to an artifact: {error}") from None
        if not self.store:
            raise StoreError("a reference without a store can't be checked")
        if open_store(self.store).find(ref) is None:
            raise StoreError(f"{ref} is not in the store {self.store}")
        return ref
