// Reads the newest message of an account and answers its subject, with the client that `make clients` generates.
//
//   node openapi/clients/typescript/read_and_send.js URL TOKEN ACCOUNT RECIPIENT

import createClient from "openapi-fetch";
import type { paths } from "./schema.js";

const [url, token, account, recipient] = process.argv.slice(2);
if (!url || !token || !account || !recipient) throw new Error("usage: URL TOKEN ACCOUNT RECIPIENT");

const api = createClient<paths>({ baseUrl: url, headers: { Authorization: `Bearer ${token}` } });

function found<T>({ data, error }: { data?: T; error?: { message: string } }): T {
  if (data === undefined) throw new Error(error?.message ?? "no answer");
  return data;
}

const { mailboxes } = found(await api.GET("/v1/account/{account}/mailboxes", { params: { path: { account } } }));
console.log("mailboxes", mailboxes.map((mailbox) => mailbox.path).join(", "));

const listed = found(
  await api.GET("/v1/account/{account}/messages", {
    params: { path: { account }, query: { path: "INBOX", pageSize: 5 } },
  }),
);
console.log("messages", listed.total);
const newest = listed.messages[0];
if (!newest) throw new Error("the inbox is empty");

const message = found(
  await api.GET("/v1/account/{account}/message/{message}", {
    params: { path: { account, message: newest.id } },
  }),
);
console.log("subject", message.subject);

const sent = found(
  await api.POST("/v1/account/{account}/submit", {
    params: { path: { account } },
    body: { to: { address: recipient }, subject: `Re: ${message.subject ?? ""}`, text: "Seen." },
  }),
);
console.log("queued", sent.queueId);
