// Where the provider keeps sessions, grants and tokens. Its own in-memory store forgets all but the last 1,000 entries,
// which a test with many mailboxes would meet as sign-ins that end for no reason.

const entries = new Map(); // `${model}:${id}` -> payload
const revoked = new Set(); // refresh tokens that ended because somebody withdrew them

export class Storage {
  constructor(model) {
    this.model = model;
  }

  async upsert(id, payload) {
    entries.set(`${this.model}:${id}`, payload);
  }

  async find(id) {
    return entries.get(`${this.model}:${id}`);
  }

  async findByUid(uid) {
    return [...entries].find(([key, payload]) => key.startsWith(`${this.model}:`) && payload.uid === uid)?.[1];
  }

  async findByUserCode() {
    return undefined; // device flow is off
  }

  async consume(id) {
    entries.get(`${this.model}:${id}`).consumed = Math.floor(Date.now() / 1000);
  }

  async destroy(id) {
    entries.delete(`${this.model}:${id}`);
  }

  async revokeByGrantId(grantId) {
    for (const [key, payload] of entries) if (payload.grantId === grantId) entries.delete(key);
  }
}

// Withdraw everything a user has granted and sign him out; returns how many refresh tokens ended.
export function revokeUser(user) {
  let ended = 0;
  for (const [key, payload] of entries) {
    if (payload.accountId !== user) continue;
    if (payload.kind === 'RefreshToken') {
      revoked.add(payload.jti);
      ended += 1;
    }
    entries.delete(key);
  }
  return ended;
}

export const wasRevoked = (refreshToken) => revoked.has(refreshToken);
