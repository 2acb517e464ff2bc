// A certified OpenID provider in the place of login.microsoftonline.com, for the tenant `common`:
//   https://localhost:PORT/common/oauth2/v2.0/{authorize,token}, .../v2.0/.well-known/openid-configuration
// Nobody has to click: `login_hint` picks who signs in and consents; a hint that begins with `deny@` declines.
// A second port, plain HTTP, is the tests' control panel (see `control`).
//
// usage: node server.mjs CONFIG.json

import fs from 'node:fs';
import http from 'node:http';
import https from 'node:https';

import Provider from 'oidc-provider';

import { codeOf, errorBody } from './errors.mjs';
import { revokeUser, Storage, wasRevoked } from './storage.mjs';

const config = JSON.parse(fs.readFileSync(process.argv[2]));
const MOUNT = '/common';
const TOKEN = '/oauth2/v2.0/token';
const TENANT = '9188040d-0000-4000-8000-00000000c0de';
const OUTLOOK = 'https://outlook.office.com';
const GRAPH = 'https://graph.microsoft.com';
const SCOPES = {
  [OUTLOOK]: ['IMAP.AccessAsUser.All', 'POP.AccessAsUser.All', 'SMTP.Send', '.default'],
  [GRAPH]: ['Mail.Read', 'Mail.ReadWrite', 'Mail.Send', 'MailboxSettings.Read', 'User.Read', '.default'],
};
const qualified = Object.entries(SCOPES).flatMap(([resource, names]) => names.map((name) => `${resource}/${name}`));
const bareGraph = SCOPES[GRAPH].filter((name) => name !== '.default'); // Graph's scopes may be asked for without the host

const state = { lifetime: config.lifetime, failures: [] };
const statistics = { codes: 0, refreshes: 0, refused: 0, client_credentials: 0, refreshed_by_user: {} };

const provider = new Provider(`https://localhost:${config.port}${MOUNT}`, {
  adapter: Storage,
  clients: [{
    client_id: config.client_id,
    client_secret: config.client_secret,
    grant_types: ['authorization_code', 'refresh_token', 'client_credentials'],
    response_types: ['code'],
    redirect_uris: ['https://localhost/any-port'],
    token_endpoint_auth_method: 'client_secret_post',
  }],
  jwks: { keys: [config.jwk] },
  cookies: { keys: [config.client_secret] },
  scopes: ['openid', 'offline_access', 'profile', 'email', ...qualified, ...bareGraph],
  claims: { openid: ['sub', 'oid', 'tid'], email: ['email'], profile: ['name', 'preferred_username'] },
  conformIdTokenClaims: false,
  routes: {
    authorization: '/oauth2/v2.0/authorize', token: TOKEN, jwks: '/discovery/v2.0/keys',
    userinfo: '/oidc/userinfo', end_session: '/oauth2/v2.0/logout',
  },
  ttl: {
    AccessToken: () => state.lifetime, ClientCredentials: () => state.lifetime, AuthorizationCode: 600,
    Grant: 90 * 86400, IdToken: 3600, Interaction: 600, RefreshToken: 90 * 86400, Session: 3600,
  },
  pkce: { required: () => false }, // Entra accepts confidential clients without it, and checks it when it is sent
  rotateRefreshToken: true,
  issueRefreshToken: async (ctx, client, code) => code.scopes.has('offline_access'),
  findAccount: async (ctx, id) => ({ accountId: id, claims: async () => userClaims(id) }),
  extraTokenClaims: accessTokenClaims,
  // Entra's header says JWT; Dovecot refuses a token whose header has no such type
  formats: { customizers: { jwt: (ctx, token, jwt) => { jwt.header = { ...jwt.header, typ: 'JWT' }; } } },
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    resourceIndicators: {
      enabled: true,
      // Entra knows no `resource` parameter: the scopes' prefix names it
      defaultResource: (ctx, client, granted) => granted?.[0] ?? (ctx.oidc.params.scope?.includes(OUTLOOK) ? OUTLOOK : GRAPH),
      useGrantedResource: () => true,
      getResourceServerInfo: (ctx, resource) => ({
        scope: [...SCOPES[resource].map((name) => `${resource}/${name}`), ...(resource === GRAPH ? bareGraph : [])].join(' '),
        audience: resource,
        accessTokenFormat: 'jwt',
        accessTokenTTL: state.lifetime,
        jwt: { sign: { alg: 'RS256' } },
      }),
    },
  },
  interactions: { url: (ctx, interaction) => `${MOUNT}/interaction/${interaction.uid}` },
  renderError: (ctx, out) => { ctx.type = 'json'; ctx.body = errorBody(out.error, codeOf(out.error), out.error_description); },
});

// The gateway under test listens on a port that is not known beforehand.
provider.Client.prototype.redirectUriAllowed = (value) => ['localhost', '127.0.0.1'].includes(new URL(value).hostname);

function userClaims(id) {
  return { sub: id, oid: id, tid: TENANT, email: id, preferred_username: id, name: id.split('@')[0] };
}

function accessTokenClaims(ctx, token) {
  const user = token.accountId;
  return {
    ...(user ? { upn: user } : { roles: ['IMAP.AccessAsApp', 'SMTP.SendAsApp', 'Mail.ReadWrite'] }),
    azp: token.clientId, tid: TENANT, ver: '2.0', scp: token.scope, issued_ms: Date.now(),
    pad: 'x'.repeat(1100), // to about the size of Entra's, which is where line limits begin to matter
  };
}

provider.use(async (ctx, next) => {
  if (!ctx.path.startsWith('/interaction/')) return next();
  const { prompt, params, session, grantId } = await provider.interactionDetails(ctx.req, ctx.res);
  const finish = (result) => provider.interactionFinished(ctx.req, ctx.res, result, { mergeWithLastSubmission: true });
  ctx.respond = false;
  const hint = params.login_hint ?? config.default_user;
  if (hint.startsWith('deny@')) {
    return finish({ error: 'access_denied', error_description: 'AADSTS65004: User declined to consent to access the app.' });
  }
  if (prompt.name === 'login' || session?.accountId !== hint) return finish({ login: { accountId: hint } });
  const grant = (grantId && (await provider.Grant.find(grantId)))
    || new provider.Grant({ accountId: session.accountId, clientId: params.client_id });
  const { missingOIDCScope, missingOIDCClaims, missingResourceScopes } = prompt.details;
  if (missingOIDCScope) grant.addOIDCScope(missingOIDCScope.join(' '));
  if (missingOIDCClaims) grant.addOIDCClaims(missingOIDCClaims);
  for (const [resource, scopes] of Object.entries(missingResourceScopes ?? {})) grant.addResourceScope(resource, scopes.join(' '));
  return finish({ consent: { grantId: await grant.save() } });
});

provider.use(async (ctx, next) => {
  if (ctx.path !== TOKEN) return next();
  await next();
  const { grant_type: grantType, refresh_token: refreshToken } = ctx.oidc?.params ?? {};
  if (grantType) count(grantType);
  if (ctx.status >= 400) {
    statistics.refused += 1;
    const code = wasRevoked(refreshToken) ? 50173 : codeOf(ctx.body.error);
    ctx.body = errorBody(ctx.body.error, code);
  } else if (grantType === 'refresh_token') {
    const user = ctx.oidc.account.accountId;
    statistics.refreshed_by_user[user] = (statistics.refreshed_by_user[user] ?? 0) + 1;
  }
  return undefined;
});

function count(grantType) {
  const name = { authorization_code: 'codes', refresh_token: 'refreshes', client_credentials: 'client_credentials' }[grantType];
  if (name) statistics[name] += 1;
}

// Failures are answered before the provider sees the request: it has not used up a refresh token that it never saw.
async function failInstead(req, res, failure) {
  const chunks = [];
  for await (const chunk of req) chunks.push(chunk);
  count(new URLSearchParams(Buffer.concat(chunks).toString()).get('grant_type'));
  statistics.refused += 1;
  const headers = { 'Content-Type': 'application/json', ...(failure.retry_after && { 'Retry-After': String(failure.retry_after) }) };
  res.writeHead(failure.status, headers).end(JSON.stringify(errorBody(failure.error, failure.code, failure.text)));
}

// GET  /statistics  counts of token requests by kind, whatever the answer was; refused ones; successful refreshes by user
// POST /lifetime    {"seconds": 60}   of access tokens issued from now on
// POST /revoke      {"user": "..."}   withdraw his grants and refresh tokens
// POST /failures    {"status", "error", "code", "text"?, "retry_after"?, "times"?}   for the next token requests
// POST /reset       forget failures and statistics
function control(path, body) {
  switch (path) {
    case '/statistics': return statistics;
    case '/lifetime': state.lifetime = body.seconds; return {};
    case '/revoke': return { refresh_tokens: revokeUser(body.user) };
    case '/failures': state.failures.push(...Array(body.times ?? 1).fill(body)); return {};
    case '/reset':
      state.failures = [];
      Object.assign(statistics, { codes: 0, refreshes: 0, refused: 0, client_credentials: 0, refreshed_by_user: {} });
      return {};
    default: return undefined;
  }
}

http.createServer(async (req, res) => {
  const chunks = [];
  for await (const chunk of req) chunks.push(chunk);
  const answer = control(req.url, chunks.length ? JSON.parse(Buffer.concat(chunks)) : {});
  res.writeHead(answer ? 200 : 404, { 'Content-Type': 'application/json' }).end(JSON.stringify(answer ?? {}));
}).listen(config.control_port, '127.0.0.1');

// Entra gives a refresh token to whoever asks for offline_access; the provider insists on `prompt=consent` with it, and
// does not know `prompt=select_account`.
function likeEntra(path) {
  const url = new URL(path, 'https://localhost');
  if (url.pathname !== `${MOUNT}/oauth2/v2.0/authorize` || url.searchParams.get('prompt') === 'none') return path;
  const prompts = new Set((url.searchParams.get('prompt') ?? '').split(' ').filter(Boolean));
  prompts.delete('select_account');
  if (url.searchParams.get('scope')?.split(' ').includes('offline_access')) prompts.add('consent');
  url.searchParams.set('prompt', [...prompts].join(' '));
  if (!prompts.size) url.searchParams.delete('prompt');
  return url.pathname + url.search;
}

const handle = provider.callback();
https.createServer({ key: fs.readFileSync(config.key), cert: fs.readFileSync(config.certificate) }, (req, res) => {
  if (!req.url.startsWith(`${MOUNT}/`)) {
    res.writeHead(404, { 'Content-Type': 'application/json' }).end(JSON.stringify(errorBody('invalid_request', 90002, 'Tenant not found.')));
    return;
  }
  // Entra's discovery document has `v2.0` in its path. originalUrl tells the provider where it is mounted.
  req.originalUrl = likeEntra(req.url).replace(`${MOUNT}/v2.0/.well-known/`, `${MOUNT}/.well-known/`);
  req.url = req.originalUrl.slice(MOUNT.length);
  if (req.url === TOKEN && req.method === 'POST' && state.failures.length) failInstead(req, res, state.failures.shift());
  else handle(req, res);
}).listen(config.port, '127.0.0.1');

provider.on('server_error', (ctx, error) => console.error('server_error', error));
