// Reads an array of Mermaid texts, as JSON, and writes what Mermaid's own parser found in each.
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const require = createRequire(`${process.argv[2]}/`);
const { JSDOM } = require("jsdom");
const { window } = new JSDOM("");
Object.assign(globalThis, { window, document: window.document });
const path = require.resolve("mermaid").replace("mermaid.cjs", "mermaid.core.mjs");
const { default: mermaid } = await import(pathToFileURL(path));
mermaid.initialize({ securityLevel: "strict" });

async function read(text) {
  const { db, type } = await mermaid.mermaidAPI.getDiagramFromText(text);
  const { nodes, edges } = type.startsWith("flowchart")
    ? { nodes: [...db.getVertices().values()], edges: db.getEdges() }
    : db.getData();
  return {
    type,
    title: db.getAccTitle(),
    description: db.getAccDescription(),
    nodes: nodes.map((node) => [node.id, node.text ?? node.label ?? ""]),
    arrows: edges.map((edge) => [edge.start, edge.end, edge.text ?? edge.label ?? ""]),
  };
}

let input = "";
for await (const chunk of process.stdin) input += chunk;
const found = [];
for (const text of JSON.parse(input)) {
  found.push(await read(text).catch((error) => ({ error: String(error) })));
}
process.stdout.write(JSON.stringify(found));
