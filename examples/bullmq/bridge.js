// Takes jobs from BullMQ, and posts each to a worker of all-docs. Run as many bridges as you like.
import { DelayedError, UnrecoverableError, Worker } from 'bullmq';
import { connection, name } from './queue.js';

const workers = (process.env.WORKERS ?? 'http://127.0.0.1:8080').split(',');
const token = process.env.ALL_DOCS_WORKER_TOKEN;
const headers = { 'content-type': 'application/json', ...(token && { authorization: `Bearer ${token}` }) };
let next = 0;

async function post(job, lock) {
  const url = `${workers[next++ % workers.length]}/work/${job.name}`;
  const body = JSON.stringify({ ...job.data, priority: job.opts.priority ?? 0, attempts: job.attemptsMade });
  // fetch() waits for an answer for five minutes; the worker hands back what takes longer.
  const reply = await fetch(url, { method: 'POST', headers: { ...headers, 'request-timeout': '280' }, body });
  const result = await reply.json();
  if (reply.status === 409 || reply.status === 429) {
    // Held or busy: later, and this was no attempt.
    await job.moveToDelayed(Date.now() + 1000 * Number(reply.headers.get('retry-after') ?? 5), lock);
    throw new DelayedError();
  }
  if (result.success) return result;
  // 503 may be tried again; all else would fail again.
  throw new (reply.status === 503 ? Error : UnrecoverableError)(result.error.message);
}

// A job of a bridge that died is stalled: after the lock has lapsed another bridge takes it.
const lockDuration = Number(process.env.LOCK_MS ?? 30_000);
const concurrency = Number(process.env.CONCURRENCY ?? 2);
const bridge = new Worker(name, post, { connection, concurrency, lockDuration, stalledInterval: lockDuration, maxStalledCount: 3 });
bridge.on('failed', (job, error) => console.error(`${job?.id} failed (attempt ${job?.attemptsMade}): ${error.message}`));
bridge.on('error', (error) => console.error(error.message));
for (const signal of ['SIGTERM', 'SIGINT']) process.on(signal, () => bridge.close());
