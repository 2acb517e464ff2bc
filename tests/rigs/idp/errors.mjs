// Microsoft's form of OAuth2 errors: a numbered text, and fields by which support finds the request.
// https://learn.microsoft.com/entra/identity-platform/reference-error-codes

import crypto from 'node:crypto';

const TEXTS = {
  50173: 'The provided grant has expired due to it being revoked, a fresh auth token is needed.',
  54005: 'OAuth2 Authorization code was already redeemed, please retry with a new valid code.',
  70003: 'The app requested an unsupported grant type.',
  70008: 'The provided authorization code or refresh token has expired due to inactivity.',
  70011: 'The provided value for the input parameter scope is not valid.',
  700016: 'Application was not found in the directory.',
  900144: 'The request body must contain the required parameters.',
  7000215: 'Invalid client secret provided.',
};

const CODES = {
  invalid_grant: 70008,
  invalid_client: 7000215,
  invalid_scope: 70011,
  invalid_target: 70011,
  invalid_request: 900144,
  unauthorized_client: 700016,
  unsupported_grant_type: 70003,
};

export function codeOf(error) {
  return CODES[error] ?? 90014;
}

export function errorBody(error, code, text = TEXTS[code] ?? 'The request could not be served.') {
  const timestamp = `${new Date().toISOString().slice(0, 19).replace('T', ' ')}Z`;
  const [trace, correlation] = [crypto.randomUUID(), crypto.randomUUID()];
  return {
    error,
    error_description: `AADSTS${code}: ${text} Trace ID: ${trace} Correlation ID: ${correlation} Timestamp: ${timestamp}`,
    error_codes: [code],
    timestamp,
    trace_id: trace,
    correlation_id: correlation,
  };
}
