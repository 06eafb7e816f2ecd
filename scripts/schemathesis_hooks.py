"""What scripts/check-api teaches schemathesis: lines of events are text as it stands."""

import schemathesis

schemathesis.serializer.alias("application/x-ndjson", "text/plain")
