// BullMQ with priorities: adds jobs in bulk, then finishes them. Prints the seconds of both as JSON.
//   node bullmq.mjs REDIS-PORT JOBS
// Its package is looked for in NODE_PATH, which only CommonJS heeds.
import { createRequire } from "node:module";
const { Queue, Worker } = createRequire(import.meta.url)("bullmq");

const [port, jobs] = process.argv.slice(2).map(Number);
const connection = { host: "127.0.0.1", port, maxRetriesPerRequest: null };
const BULK = 1000; // jobs of one pipeline; more gained nothing
const AT_ONCE = 8; // pipelines on their way
const CONCURRENCY = 200; // jobs of the worker that run at once

const body = {
  action_type: "Read", resource_type: "Posts", entity_id: 42, access_token: "tok-00042", user_id: "user-42",
  occurred_at: 1763812799000, expires_in: 300, payload: { author_id: 7 },
};
const queue = new Queue("reads", { connection });
await queue.waitUntilReady();

const seconds = async (work) => {
  const began = process.hrtime.bigint();
  await work();
  return Number(process.hrtime.bigint() - began) / 1e9;
};

const add = async () => {
  let next = 0;
  const some = async () => {
    while (next < jobs) {
      const first = next;
      next += BULK;
      await queue.addBulk(Array.from({ length: Math.min(BULK, jobs - first) }, (_, n) => ({
        name: "read", data: { ...body, entity_id: first + n },
        opts: { priority: 1 + (n % 3), removeOnComplete: true },
      })));
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, some));
};

const finish = () => new Promise((resolve, reject) => {
  let done = 0;
  const worker = new Worker("reads", async () => {}, { connection, concurrency: CONCURRENCY });
  worker.on("completed", () => { if (++done === jobs) resolve(); });
  worker.on("failed", (_, error) => reject(error));
});

const added = await seconds(add);
const finished = await seconds(finish);
console.log(JSON.stringify({ added, finished }));
process.exit(0);
