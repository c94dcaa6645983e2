import json

import jsonschema
import pytest

from tests.wire.samples import SAMPLES
from wire.codec import encode
from wire.schema import json_schemas
from workbench.documents import stale


def test_the_committed_documents_are_what_the_types_say():
    assert stale() == [], "run `make documents`"


@pytest.mark.parametrize("name", SAMPLES)
def test_samples_hold_their_schema(name):
    message = SAMPLES[name]
    schema = json_schemas()[type(message).__name__]
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(json.loads(encode(message)), schema)
