// What a fhir-kit-client says to the server at argv[2]; the answers that the test looks at come out as JSON.
import { Client } from "fhir-kit-client";

const client = new Client({ baseUrl: process.argv[2] });
const system = "urn:example:fhir-kit-client";
const subject = "urn:uuid:2f6d1a8c-3f4e-4e0b-9a57-0d1c2b3a4f03";
const said = {};

said.fhirVersion = (await client.capabilityStatement()).fhirVersion;

const created = await client.create({ resourceType: "Patient", body: { resourceType: "Patient", active: true } });
const read = await client.read({ resourceType: "Patient", id: created.id });
said.read = read.active;

const updated = await client.update({ resourceType: "Patient", id: read.id, body: { ...read, gender: "female" } });
said.updated = updated.gender;
said.first = (await client.vread({ resourceType: "Patient", id: read.id, version: created.meta.versionId })).gender ?? null;
said.history = (await client.history({ resourceType: "Patient", id: read.id })).total;

const post = (resource, fullUrl) => ({ fullUrl, resource, request: { method: "POST", url: resource.resourceType } });
const answer = await client.transaction({
  body: {
    resourceType: "Bundle",
    type: "transaction",
    entry: [
      post({ resourceType: "Patient", identifier: [{ system, value: "member" }] }, subject),
      ...[1, 2, 3].map((n) => post({
        resourceType: "Goal",
        lifecycleStatus: "active",
        description: { text: `Goal ${n}` },
        subject: { reference: subject },
      })),
    ],
  },
});
said.transaction = answer.entry.map((entry) => entry.response.status.slice(0, 3));

let page = await client.search({
  resourceType: "Goal",
  searchParams: { "subject:Patient.identifier": `${system}|member`, _count: "2" },
});
said.pages = [];
while (page) {
  said.pages.push(page.entry.length);
  page = await client.nextPage({ bundle: page });
}

await client.delete({ resourceType: "Patient", id: read.id });
said.gone = await client.read({ resourceType: "Patient", id: read.id }).catch((error) => error.response.status);

console.log(JSON.stringify(said));
