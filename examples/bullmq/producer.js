// Enqueues a partition set, then the items of its partitions, and waits until all are done.
// node producer.js [RUN]: items of the same run are enqueued once; the default is the day.
import { Queue, QueueEvents } from 'bullmq';
import { connection, name, options } from './queue.js';

const run = process.argv[2] ?? new Date().toISOString().slice(0, 10);
const queue = new Queue(name, { connection });
const events = new QueueEvents(name, { connection });
await events.waitUntilReady();

const set = { id: `v1:partition-set:${process.env.ORIGIN ?? 'npm'}`, payload: { run } };
const made = await (await queue.add('partition-set', set, options(set, 1))).waitUntilFinished(events);
// Unscoped names first.
const priority = (item) => (item.payload.startKey?.startsWith('@') ? 20 : 10);
const jobs = await queue.addBulk(
  made.data.items.map((item) => ({ name: item.type, data: { id: item.id, payload: item.payload }, opts: options(item, priority(item)) })),
);
const ended = await Promise.allSettled(jobs.map((job) => job.waitUntilFinished(events)));
const failed = ended.filter((one) => one.status === 'rejected');
failed.forEach((one) => console.error(one.reason.message));
const documents = ended.reduce((sum, one) => sum + (one.value?.data.documents ?? 0), 0);
console.log(`${ended.length - failed.length} of ${ended.length} partitions done, ${documents} documents`);
await Promise.all([queue.close(), events.close()]);
process.exitCode = failed.length === 0 ? 0 : 1;
