// Posts that are cached per user in Redis, and an API's part of what decache promises (docs/integrating.md), in Node.
//
//     node cached-posts.js --redis redis://127.0.0.1:6390 --decache http://127.0.0.1:8080 --database posts.json \
//         read:7:alice read:7:alice change:7:Hello flush
//
// does one thing after the other and prints what came of each. To be copied from: `Decache` is all that speaks to decache.

import { randomUUID } from "node:crypto";
import { existsSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import { createClient } from "redis";

// How long a copy lives, in seconds; and how long before decache has accepted its event.
const FULL = 300;
const PROVISIONAL = 10;
// How long a request waits for decache, in milliseconds.
const PATIENCE = 2000;

// Raises a copy's life if it is still the same copy, so that it ends `FULL` after it was written.
const RAISE = `
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], redis.call('PTTL', KEYS[1]) + tonumber(ARGV[2]))
`;

/** decache will never take this event: somebody has to look. */
export class Refused extends Error {}

/** decache, as an API sees it: one URL that takes events. */
export class Decache {
  constructor(url, key) {
    this.url = `${url}/v1/events`;
    this.headers = { "content-type": "application/json", ...(key && { authorization: `Bearer ${key}` }) };
  }

  /** Posts an event once. Whether decache has accepted it; `Refused` if it never will. */
  async post(event) {
    let answer, body;
    try {
      const signal = AbortSignal.timeout(5000);
      answer = await fetch(this.url, { method: "POST", headers: this.headers, body: JSON.stringify(event), signal });
      body = await answer.text();
    } catch {
      return false; // not reached, or no answer in time
    }
    if ([400, 413, 415, 422].includes(answer.status)) throw new Refused(body);
    if (!answer.ok) return false; // it is full, it restarts, or a key has to be put right
    if (JSON.parse(body).ignored > 0) throw new Refused("no rule of decache matches this event");
    return true;
  }

  /** Posts an event again and again; repeats are harmless. Whether it was accepted within `patience` milliseconds. */
  async postUntilAccepted(event, patience) {
    const deadline = Date.now() + patience;
    for (let pause = 50; !(await this.post(event)); pause = Math.min(pause * 2, 2000)) {
      if (Date.now() + pause > deadline) return false;
      await sleep(pause * (0.5 + Math.random() / 2));
    }
    return true;
  }
}

/** Stands for a database: a file that is replaced whole, so that each commit writes what is changed and what is owed. */
class Database {
  constructor(file) {
    this.file = file;
    this.rows = existsSync(file) ? JSON.parse(readFileSync(file, "utf8")) : { posts: {}, outbox: {} };
  }

  commit(change) {
    change(this.rows);
    writeFileSync(`${this.file}.new`, JSON.stringify(this.rows));
    renameSync(`${this.file}.new`, this.file);
  }
}

/** The API: a database, a cache, and decache. */
export class Posts {
  constructor(database, cache, decache) {
    Object.assign(this, { database, cache, decache });
  }

  /** A user's GET. Returns `hit` or `miss`, and the response. */
  async read(post, user, token) {
    // Before anything is looked up: a write that commits from here on makes this read stale.
    const began = Date.now();
    const key = `/posts/${post}?access_token=${token}`;
    const found = await this.cache.get(key);
    if (found) {
      const copy = JSON.parse(found);
      // Once, and nothing depends on it: an index that was lost fills again. It carries the time of the copy.
      await this.decache.post(readEvent(post, user, token, copy.read_at));
      return ["hit", copy.response];
    }
    const response = { id: post, body: this.database.rows.posts[post] ?? `This is post ${post}.`, read_by: user };
    // First the copy, with a short life; then the event; then, if the copy is still this one, its full life.
    const copy = JSON.stringify({ id: randomUUID(), read_at: began, response });
    await this.cache.set(key, copy, { EX: PROVISIONAL });
    if (await this.decache.postUntilAccepted(readEvent(post, user, token, began), PATIENCE)) {
      await this.cache.eval(RAISE, { keys: [key], arguments: [copy, String((FULL - PROVISIONAL) * 1000)] });
    }
    return ["miss", response];
  }

  /** A user's PUT. Returns `accepted`, or `owed` where decache has still to be told. */
  async change(post, body) {
    const entry = randomUUID();
    const event = { action_type: "Update", resource_type: "Posts", entity_id: post };
    // One transaction: what is written and what is owed.
    this.database.commit((rows) => {
      rows.posts[post] = body;
      rows.outbox[entry] = event;
    });
    // After the commit has returned, never before it.
    return this.settle(entry, { ...event, occurred_at: Date.now() });
  }

  /** Posts what is owed: at the start, and again from time to time. When its commit returned nobody knows any more, so the
   * event has no time, and counts from its arrival. */
  async flush() {
    const settled = [];
    for (const [entry, event] of Object.entries(this.database.rows.outbox)) {
      settled.push(await this.settle(entry, event));
    }
    return settled;
  }

  async settle(entry, event) {
    if (!(await this.decache.postUntilAccepted(event, PATIENCE))) return "owed";
    this.database.commit((rows) => delete rows.outbox[entry]);
    return "accepted";
  }
}

function readEvent(post, user, token, readAt) {
  return {
    action_type: "Read",
    resource_type: "Posts",
    entity_id: post,
    access_token: token,
    user_id: user,
    occurred_at: readAt,
    expires_in: FULL,
  };
}

async function main() {
  const options = {
    redis: { type: "string" },
    decache: { type: "string" },
    database: { type: "string", default: "posts.json" },
  };
  const { values, positionals } = parseArgs({ options, allowPositionals: true });
  const cache = await createClient({ url: values.redis }).connect();
  const posts = new Posts(
    new Database(values.database),
    cache,
    new Decache(values.decache, process.env.DECACHE_KEY),
  );
  for (const what of positionals) {
    const [action, post, ...words] = what.split(":");
    // Any `tok-<name>` is that user's access token here.
    if (action === "read") console.log((await posts.read(Number(post), words[0], `tok-${words[0]}`))[0]);
    else if (action === "change") console.log(await posts.change(Number(post), words.join(":")));
    else if (action === "flush") console.log((await posts.flush()).join(" "));
    else throw new Error(`what is ${action}?`);
  }
  await cache.close();
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) await main();
