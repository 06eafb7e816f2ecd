#!/usr/bin/env python3
"""Posts that are cached per user in Redis, and an API's part of what decache promises (docs/integrating.md), in Python.

    cached_posts.py --redis redis://127.0.0.1:6390 --decache http://127.0.0.1:8080 --database posts.db \\
        read:7:alice read:7:alice change:7:Hello flush

does one thing after the other and prints what came of each. To be copied from: `Decache` is all that speaks to decache.
"""

import argparse
import json
import os
import random
import sqlite3
import sys
import time
import urllib.error
import urllib.request
import uuid

import redis

# How long a copy lives, in seconds; and how long before decache has accepted its event.
FULL, PROVISIONAL = 300, 10
# How long a request waits for decache, in seconds. The work goes on all the same.
PATIENCE = 2

# Raises a copy's life if it is still the same copy, so that it ends `FULL` after it was written.
RAISE = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], redis.call('PTTL', KEYS[1]) + tonumber(ARGV[2]))
"""


def now():
    """Wall-clock time in milliseconds, as `occurred_at` takes it."""
    return time.time_ns() // 1_000_000


class Refused(Exception):
    """decache will never take this event: somebody has to look."""


class Decache:
    """decache, as an API sees it: one URL that takes events."""

    def __init__(self, url, key=None):
        self.url = f"{url}/v1/events"
        self.headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})

    def post(self, event):
        """Posts an event once. Whether decache has accepted it; `Refused` if it never will."""
        request = urllib.request.Request(self.url, json.dumps(event).encode(), self.headers)
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                receipt = json.load(answer)
        except urllib.error.HTTPError as error:
            if error.code in (400, 413, 415, 422):
                raise Refused(error.read().decode()) from None
            return False  # it is full, it restarts, or a key has to be put right
        except OSError:
            return False
        if receipt["ignored"]:
            raise Refused("no rule of decache matches this event")
        return True

    def post_until_accepted(self, event, patience):
        """Posts an event again and again; repeats are harmless. Whether it was accepted within `patience` seconds."""
        deadline, pause = time.monotonic() + patience, 0.05
        while not self.post(event):
            if time.monotonic() + pause > deadline:
                return False
            time.sleep(pause * random.uniform(0.5, 1))
            pause = min(pause * 2, 2)
        return True


class Posts:
    """The API: a database, a cache, and decache."""

    def __init__(self, database, cache, decache):
        self.database, self.cache, self.decache = database, cache, decache
        self.raise_life = cache.register_script(RAISE)
        with database:
            database.execute("CREATE TABLE IF NOT EXISTS posts (id INTEGER PRIMARY KEY, body TEXT NOT NULL)")
            database.execute("CREATE TABLE IF NOT EXISTS outbox (id TEXT PRIMARY KEY, event TEXT NOT NULL)")

    def read(self, post, user, token):
        """A user's GET. Returns `hit` or `miss`, and the response."""
        # Before anything is looked up: a write that commits from here on makes this read stale.
        began = now()
        key = f"/posts/{post}?access_token={token}"
        if copy := self.cache.get(key):
            copy = json.loads(copy)
            # Once, and nothing depends on it: an index that was lost fills again. It carries the time of the copy.
            self.decache.post(self.read_event(post, user, token, copy["read_at"]))
            return "hit", copy["response"]
        row = self.database.execute("SELECT body FROM posts WHERE id = ?", [post]).fetchone()
        response = {"id": post, "body": row[0] if row else f"This is post {post}.", "read_by": user}
        # First the copy, with a short life; then the event; then, if the copy is still this one, its full life.
        copy = json.dumps({"id": uuid.uuid4().hex, "read_at": began, "response": response})
        self.cache.set(key, copy, ex=PROVISIONAL)
        if self.decache.post_until_accepted(self.read_event(post, user, token, began), PATIENCE):
            self.raise_life([key], [copy, (FULL - PROVISIONAL) * 1000])
        return "miss", response

    def change(self, post, body):
        """A user's PUT. Returns `accepted`, or `owed` where decache has still to be told."""
        entry, event = uuid.uuid4().hex, {"action_type": "Update", "resource_type": "Posts", "entity_id": post}
        with self.database:  # one transaction: what is written and what is owed
            self.database.execute("REPLACE INTO posts VALUES (?, ?)", [post, body])
            self.database.execute("INSERT INTO outbox VALUES (?, ?)", [entry, json.dumps(event)])
        # After the commit has returned, never before it.
        return self.settle(entry, event | {"occurred_at": now()})

    def flush(self):
        """Posts what is owed: at the start, and again from time to time. When its commit returned nobody knows any more, so
        the event has no time, and counts from its arrival."""
        owed = self.database.execute("SELECT id, event FROM outbox").fetchall()
        return [self.settle(entry, json.loads(event)) for entry, event in owed]

    def settle(self, entry, event):
        if not self.decache.post_until_accepted(event, PATIENCE):
            return "owed"
        with self.database:
            self.database.execute("DELETE FROM outbox WHERE id = ?", [entry])
        return "accepted"

    @staticmethod
    def read_event(post, user, token, read_at):
        return {
            "action_type": "Read",
            "resource_type": "Posts",
            "entity_id": post,
            "access_token": token,
            "user_id": user,
            "occurred_at": read_at,
            "expires_in": FULL,
        }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--redis", required=True)
    parser.add_argument("--decache", required=True)
    parser.add_argument("--database", default=":memory:")
    parser.add_argument("what", nargs="+", help="read:POST:USER, change:POST:BODY or flush")
    options = parser.parse_args()
    decache = Decache(options.decache, os.environ.get("DECACHE_KEY"))
    posts = Posts(sqlite3.connect(options.database), redis.Redis.from_url(options.redis, decode_responses=True), decache)
    for what in options.what:
        action, *words = what.split(":", 2)
        if action == "read":
            # Any `tok-<name>` is that user's access token here.
            print(posts.read(int(words[0]), words[1], f"tok-{words[1]}")[0])
        elif action == "change":
            print(posts.change(int(words[0]), words[1]))
        elif action == "flush":
            print(*posts.flush())
        else:
            sys.exit(f"what is {action}?")


if __name__ == "__main__":
    main()
