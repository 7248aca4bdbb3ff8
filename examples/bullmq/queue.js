// Shared by the producer and the bridge.
export const name = 'all-docs';
export const connection = {
  host: process.env.REDIS_HOST ?? '127.0.0.1',
  port: Number(process.env.REDIS_PORT ?? 6379),
  maxRetriesPerRequest: null,
};
// Three attempts, 2 s and 4 s apart. A lower number is sooner. An id of BullMQ has no colons; the same id is enqueued once.
export const options = (item, priority = 10) => ({
  jobId: item.id.replaceAll(':', '.') + (item.payload.run ? `.${item.payload.run}` : ''),
  attempts: 3,
  backoff: { type: 'exponential', delay: 2000 },
  priority,
  removeOnComplete: { age: 3600 },
});
