// Checks the example with a real Redis: node check.js REDIS-SERVER ALL-DOCS
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync } from 'node:fs';
import { createServer } from 'node:http';
import { createServer as listen } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const [redis, allDocs] = process.argv.slice(2);
const here = fileURLToPath(new URL('.', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'all-docs-bullmq-'));
const children = [];

const freePort = () => new Promise((resolve) => {
  const server = listen().listen(0, '127.0.0.1', () => { const { port } = server.address(); server.close(() => resolve(port)); });
});
const start = (command, args, env = {}) => {
  const child = spawn(command, args, { cwd: here, env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
  child.said = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (data) => { child.said += data; });
  child.ended = new Promise((resolve) => child.on('exit', resolve));
  children.push(child);
  return child;
};
const until = async (what, is) => {
  for (let tries = 0; tries < 1200; tries++) {
    const found = await is();
    if (found) return found;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`waited in vain for ${what}`);
};

const port = await freePort();
const server = start(redis, ['--port', String(port), '--save', '', '--dir', folder]);
await until('Redis', () => server.said.includes('Ready to accept'));
process.env.REDIS_PORT = String(port);
const { Queue, QueueEvents } = await import('bullmq');
const { connection, name, options } = await import('./queue.js');
const queue = new Queue(name, { connection });
const events = new QueueEvents(name, { connection });
await events.waitUntilReady();

try {
  // A stub in the place of a worker: which items arrive when, and what BullMQ makes of each status.
  const arrived = [];
  const replies = {};
  const stub = createServer((request, response) => {
    let body = '';
    request.on('data', (data) => { body += data; });
    request.on('end', () => {
      const { packageName } = JSON.parse(body).payload;
      arrived.push({ packageName, at: Date.now() });
      const status = replies[packageName]?.shift() ?? 200;
      if (status === 'never') return;
      const success = status === 200;
      const error = success ? null : { message: `it is ${status}`, statusCode: status === 'failed' ? 404 : status };
      response.writeHead(status === 'failed' ? 200 : status, { 'retry-after': '1' });
      response.end(JSON.stringify({ workItemId: 'x', success, data: {}, error, duration: 1, metrics: null }));
    });
  }).listen(0, '127.0.0.1');
  await until('the stub', () => stub.listening);
  const WORKERS = `http://127.0.0.1:${stub.address().port}`;
  const add = (packageName, priority) => {
    const item = { id: `v1:packument:sample:${Buffer.from(packageName).toString('hex')}`, payload: { packageName } };
    return queue.add('packument', item, options(item, priority));
  };
  const times = (packageName) => arrived.filter((one) => one.packageName === packageName).map((one) => one.at);

  // Priorities, and the same item once.
  const jobs = [await add('late', 30), await add('soon', 1), await add('between', 20)];
  assert.equal((await add('soon', 1)).id, jobs[1].id);
  let bridge = start('node', ['bridge.js'], { WORKERS, CONCURRENCY: '1' });
  await Promise.all(jobs.map((job) => job.waitUntilFinished(events)));
  assert.deepEqual(arrived.map((one) => one.packageName), ['soon', 'between', 'late']);

  // 503 is tried three times, 2 s and 4 s apart.
  replies.again = [503, 503];
  await (await add('again')).waitUntilFinished(events);
  const [first, second, third, ...more] = times('again');
  assert.equal(more.length, 0);
  assert.ok(second - first >= 1900 && third - second >= 3900, `${second - first} ${third - second}`);
  replies.given_up = [503, 503, 503, 503];
  await assert.rejects((await add('given_up')).waitUntilFinished(events), /it is 503/);
  assert.equal(times('given_up').length, 3);

  // Busy and held are no attempts; what would fail again is not tried again.
  replies.busy = [429, 409, 429, 409];
  await (await add('busy')).waitUntilFinished(events);
  assert.equal(times('busy').length, 5);
  replies.fails = ['failed'];
  await assert.rejects((await add('fails')).waitUntilFinished(events), /it is failed/);
  assert.equal(times('fails').length, 1);
  bridge.kill();
  await bridge.ended;

  // The job of a bridge that is killed is stalled, and done by another.
  replies.stalled = ['never'];
  bridge = start('node', ['bridge.js'], { WORKERS, LOCK_MS: '1000' });
  const stalled = await add('stalled');
  await until('the item', () => times('stalled').length === 1);
  bridge.kill('SIGKILL');
  await bridge.ended;
  bridge = start('node', ['bridge.js'], { WORKERS, LOCK_MS: '1000' });
  await stalled.waitUntilFinished(events);
  assert.equal(times('stalled').length, 2);
  bridge.kill();
  await bridge.ended;
  stub.close();

  // The real thing: a registry, two workers, two bridges, one of them killed.
  const sample = start(allDocs, ['sample', '--port', '0', '--packages', '600']);
  const registry = await until('the sample registry', () => /http:\/\/127\.0\.0\.1:\d+/.exec(sample.said)?.[0]);
  const lake = join(folder, 'lake');
  const common = ['--lake', lake, '--origin', `sample=${registry}`];
  const workers = [0, 1].map(() => start(allDocs, ['worker', '--listen', '127.0.0.1:0', '--partition-rows', '50', ...common]));
  const urls = await Promise.all(workers.map((worker) =>
    until('a worker', () => /at (http:\/\/127\.0\.0\.1:\d+)/.exec(worker.said)?.[1])));
  const env = { WORKERS: urls.join(','), LOCK_MS: '2000' };
  const bridges = [start('node', ['bridge.js'], env), start('node', ['bridge.js'], env)];
  const producer = start('node', ['producer.js', 'check'], { ORIGIN: 'sample' });
  await until('some partitions', async () => (await queue.getCompletedCount()) > 8);
  bridges[0].kill('SIGKILL');
  assert.equal(await producer.ended, 0, producer.said);
  const [, done, all] = /(\d+) of (\d+) partitions done/.exec(producer.said);
  assert.ok(done === all && Number(all) > 8, producer.said);
  bridges[1].kill();
  for (const worker of workers) {
    worker.kill();
    assert.equal(await worker.ended, 0, worker.said);
  }
  const verify = spawnSync(allDocs, ['verify', '--lake', lake], { encoding: 'utf8' });
  assert.equal(verify.status, 0, verify.stderr);
  console.log(producer.said.trim());
  console.log('BullMQ: priorities, attempts, stalled jobs and a killed bridge are as they should be');
} finally {
  await Promise.all([queue.close(), events.close()]);
  children.forEach((child) => child.kill('SIGKILL'));
}
