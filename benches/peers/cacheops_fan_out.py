"""django-cacheops removes every cached query about one object. Prints the seconds as JSON.

    cacheops_fan_out.py REDIS-PORT COPIES

It fills its cache, says `filled`, waits for a line on standard input (so that others can look on), and then invalidates
the object. One copy is cached by cacheops itself. The others are put beside it as it does that, a key with a value and a
member in the set of what depends on the object, but in pipelines, for filling is not what is measured.
"""

import json
import sys
import time

import django
from django.conf import settings

PORT, COPIES = int(sys.argv[1]), int(sys.argv[2])
BULK = 1000

settings.configure(
    INSTALLED_APPS=["cacheops"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    CACHEOPS_REDIS=f"redis://127.0.0.1:{PORT}/0",
    CACHEOPS={"peer.*": {"ops": "all", "timeout": 3600}},
    CACHEOPS_CONJ_KEYS_TTL_FACTOR=2,
)
django.setup()

from cacheops import cached_as, invalidate_obj  # noqa: E402
from cacheops.redis import redis_client  # noqa: E402
from django.db import connection, models  # noqa: E402


class Post(models.Model):
    body = models.TextField()

    class Meta:
        app_label = "peer"


def cached_by_itself(post):
    before = set(redis_client.keys("*"))
    cached_as(Post.objects.filter(pk=post.pk), extra="tok-00000000")(lambda: "x" * 200)()
    new = set(redis_client.keys("*")) - before
    (conjunction,) = (key for key in new if key.startswith(b"conj:"))
    (copy,) = (key for key in new if redis_client.type(key) == b"string")
    return conjunction, copy, redis_client.get(copy)


def fill(post):
    conjunction, copy, value = cached_by_itself(post)
    for first in range(1, COPIES, BULK):
        keys = [copy[:-8] + b"%08d" % n for n in range(first, min(first + BULK, COPIES))]
        pipeline = redis_client.pipeline(transaction=False)
        for key in keys:
            pipeline.set(key, value, ex=3600)
        pipeline.sadd(conjunction, *keys)
        pipeline.execute()


with connection.schema_editor() as editor:
    editor.create_model(Post)
post = Post.objects.create(body="x")
fill(post)
print("filled", flush=True)
sys.stdin.readline()
began = time.monotonic()
invalidate_obj(post)
took = time.monotonic() - began
# What queries there can be on the table stays.
assert redis_client.keys("*") == [b"schemes:peer_post"], redis_client.dbsize()
print(json.dumps({"removed": took}))
