"""What travels through Prefect: a reference to an artifact, checked whenever it is read.

Prefect would serve a cached result though its files are gone. A result serializer whose `loads`
looks for the files and raises where they are not makes Prefect run the task again instead. It
leans on how Prefect 3.8 reads results: `tests/tasks/test_reference.py` holds it to that.
"""

import json
from pathlib import Path
from typing import Any, Literal

from prefect.serializers import Serializer

from birdcore.artifact import Ref, Store


class ReferenceSerializer(Serializer):
    """Writes a Ref as JSON; reading raises StoreError where the artifact is not there in full."""

    type: Literal["birdflow-reference"] = "birdflow-reference"
    store: str

    def dumps(self, obj: Any) -> bytes:
        assert isinstance(obj, Ref)
        return json.dumps({"stage": obj.stage, "key": obj.key}).encode()

    def loads(self, blob: bytes) -> Ref:
        ref = Ref(**json.loads(blob))
        Store(Path(self.store)).get(ref)
        return ref
