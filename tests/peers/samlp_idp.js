// samlp_idp.js CONFIG.json: an identity provider on loopback. samlp (npm) does the SAML, this file the HTTP around it.
// README.md says what CONFIG.json holds, what is printed and when it ends.

'use strict';

process.noDeprecation = true; // samlp 8 still calls `new Buffer`

const crypto = require('node:crypto');
const fs = require('node:fs');
const path = require('node:path');
const home = process.env.PEERS_HOME || path.join(__dirname, '../../target/peers');
const peers = require('node:module').createRequire(path.resolve(home, 'node/package.json'));
const express = peers('express');
const session = peers('express-session');
const samlp = peers('samlp');

const configFile = process.argv[2];
let base; // known once the port is

/** The configuration as the file stands now, with the key pair it names. */
function current() {
  const config = JSON.parse(fs.readFileSync(configFile, 'utf8'));
  const pem = (end) => fs.readFileSync(path.join(home, 'keys', `${config.key || 'samlp'}.${end}`), 'utf8');
  return { ...config, issuer: config.entity_id || `${base}/metadata`, privateKey: pem('key'), certificate: pem('crt') };
}

/** How the assertion is encrypted, if it is: for the certificate that the configuration holds. */
function encryption(config) {
  if (!config.encrypt) return {};
  const algorithms = {
    'aes128-gcm': 'http://www.w3.org/2009/xmlenc11#aes128-gcm',
    'aes256-gcm': 'http://www.w3.org/2009/xmlenc11#aes256-gcm',
    'aes256-cbc': 'http://www.w3.org/2001/04/xmlenc#aes256-cbc',
  };
  return {
    encryptionCert: config.encryption_certificate,
    encryptionPublicKey: crypto.createPublicKey(config.encryption_certificate).export({ type: 'spki', format: 'pem' }),
    encryptionAlgorithm: algorithms[config.encrypt],
    // AES-CBC: what others still send.
    disallowEncryptionWithInsecureAlgorithm: false,
  };
}

const escaped = (text) => String(text).replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);

const app = express();
app.use(express.urlencoded({ extended: false }));
app.use(session({ name: 'samlp_idp', secret: 'loopback tests only', resave: false, saveUninitialized: false }));

app.get('/metadata', (req, res, next) => {
  const config = current();
  samlp.metadata({
    issuer: config.issuer,
    cert: config.certificate,
    redirectEndpointPath: '/sso',
    postEndpointPath: '/sso',
  })(req, res, next);
});

app.get('/sso', (req, res) => {
  req.session.asked = { ...req.query }; // the request waits here while the person types
  res.send('<form method="post" action="/login"><input name="username"><input type="password" name="password"><button>Sign in</button></form>');
});

app.post('/login', (req, res, next) => {
  const config = current();
  const user = config.users[req.body.username];
  if (!user || user.password !== req.body.password) return res.status(401).send('wrong user name or password');
  // The middleware reads the AuthnRequest where HTTP-Redirect put it.
  const asked = req.session.asked || {};
  req.method = 'GET';
  req.query = asked;
  req.body = {};
  const algorithm = config.algorithm || 'rsa-sha256';
  const sign = config.sign || 'assertion';
  samlp.auth({
    issuer: config.issuer,
    cert: config.certificate,
    key: config.privateKey,
    audience: config.sp_entity_id,
    destination: config.acs_url,
    recipient: config.acs_url,
    getPostURL: (audience, request, _req, done) => done(null, config.acs_url),
    getUserFromRequest: () => user,
    profileMapper: () => ({
      getClaims: () => user.attributes,
      getNameIdentifier: () => ({
        nameIdentifier: user.name_id,
        nameIdentifierFormat: config.name_id_format || 'urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress',
      }),
    }),
    signatureAlgorithm: algorithm,
    digestAlgorithm: algorithm.replace('rsa-', ''),
    signResponse: ['response', 'both'].includes(sign),
    signAssertion: ['assertion', 'both'].includes(sign),
    ...encryption(config),
    lifetimeInSeconds: 300,
    authnContextClassRef: 'urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport',
  })(req, res, next);
});

app.use((error, req, res, next) => {
  console.error(error);
  res.status(500).type('text').send(String(error.stack || escaped(error)));
});

process.stdin.on('end', () => process.exit(0)).resume();
process.on('SIGTERM', () => process.exit(0));

const server = app.listen(JSON.parse(fs.readFileSync(configFile, 'utf8')).port || 0, '127.0.0.1', () => {
  base = `http://127.0.0.1:${server.address().port}`;
  console.log(JSON.stringify({
    idp: 'samlp',
    port: server.address().port,
    entity_id: current().issuer,
    metadata_url: `${base}/metadata`,
    sso_url: `${base}/sso`,
    initiate_url: `${base}/sso`,
  }));
});
