"""Sends CloudEvents with their official SDK, in every mode, to the URL that is given. Prints each answer's status and body."""

import gzip
import json
import sys
from datetime import datetime, timezone
from http.client import HTTPConnection
from urllib.parse import urlsplit

from cloudevents.core.bindings.http import to_binary_event, to_structured_event
from cloudevents.core.v1.event import CloudEvent


def event(subject, user, **attributes):
    return CloudEvent(
        attributes={
            "id": f"e-{subject}",
            "source": "https://api.playerpro.example/posts",
            "type": "com.playerpro.Posts.Read",
            "subject": subject,
            "time": datetime.now(timezone.utc),
            "sequence": "7",
            **attributes,
        },
        data={"access_token": f"tok-{user}", "user_id": user, "expires_in": 300, "payload": {"author_id": 7}},
    )


def post(headers, body):
    """By a client that adds no content type of its own: what the SDK leaves out is to be missing."""
    url = urlsplit(sys.argv[1])
    connection = HTTPConnection(url.hostname, url.port)
    connection.request("POST", url.path, body, {**headers, "prefer": "wait=60"})
    answer = connection.getresponse()
    print(json.dumps({"status": answer.status, "body": json.load(answer)}))
    connection.close()


def main():
    message = to_structured_event(event("structured", "alice"))
    post(message.headers, message.body)
    message = to_structured_event(event("text", "alice", datacontenttype="application/json"))
    post({**message.headers, "content-encoding": "gzip"}, gzip.compress(message.body))
    # The SDK has no batches: they are JSON arrays of what it makes for the structured mode.
    batch = [to_structured_event(event(subject, "alice")).body for subject in ("batch-1", "batch-2")]
    body = b"[" + b",".join(batch) + b"]"
    post({"content-type": "application/cloudevents-batch+json"}, body)
    message = to_binary_event(event("binary Ł/1", "alice", datacontenttype="application/json"))
    post(message.headers, message.body)
    message = to_binary_event(event("untyped", "alice"))
    post(message.headers, message.body)


main()
