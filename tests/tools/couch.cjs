// A CouchDB-compatible server over memory, for the tests: express-pouchdb from the folder node_modules of the first
// argument. Prints its URL. Then each line of standard input, a JSON array of documents, is written as _bulk_docs would
// write it, and `done` is printed.
const { createRequire } = require('node:module');
const path = require('node:path');
const readline = require('node:readline');
const from = createRequire(path.join(path.resolve(process.argv[2]), 'node_modules', 'x.js'));

const PouchDB = from('pouchdb-core')
  .plugin(from('pouchdb-adapter-memory'))
  .plugin(from('pouchdb-adapter-http'))
  .plugin(from('pouchdb-mapreduce'))
  .plugin(from('pouchdb-replication'));
const Memory = PouchDB.defaults({ adapter: 'memory' });
const app = from('express')();
app.use(
  from('express-pouchdb')(Memory, {
    mode: 'minimumForPouchDB',
    inMemoryConfig: true,
    logPath: process.platform === 'win32' ? 'NUL' : '/dev/null',
  }),
);
const database = new Memory('registry');
const server = app.listen(0, '127.0.0.1', async () => {
  await database.info();
  console.log(`http://127.0.0.1:${server.address().port}/registry`);
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const documents = JSON.parse(line);
    for (const document of documents) {
      const held = await database.get(document._id).catch(() => null);
      if (held) document._rev = held._rev;
    }
    const written = await database.bulkDocs(documents);
    const failed = written.filter((one) => one.error);
    console.log(failed.length === 0 ? 'done' : JSON.stringify(failed));
  }
  process.exit(0);
});
