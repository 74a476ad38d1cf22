// Auth0 custom database, script "Login": asks a postern-gateway, each time. See AUTH0.md.
// Values of the connection's settings: POSTERN_URL (https://gateway.example:8443), POSTERN_SECRET (of an [application]),
// and POSTERN_CA (PEM), where the gateway's certificate is of no public CA.
function login(userNameOrEmail, password, callback) {
  const https = require('https');
  const body = JSON.stringify({ username: userNameOrEmail, password: password });
  let told = false;

  function tell(error, profile) { // once, whatever comes
    if (told) return;
    told = true;
    if (error) callback(error); else callback(null, profile);
  }

  // Of no fault may Auth0, or the user, think that the password was wrong.
  function fault(why) {
    tell(new Error('postern: ' + why));
  }

  function take(answer) {
    const text = answer.text + ' (' + answer.id + ')';
    if (answer.verdict === 'accepted') {
      const values = (answer.attributes && answer.attributes.values) || {};
      const mail = values.mail && values.mail[0];
      tell(null, {
        user_id: answer.user.domain + ':' + answer.user.id, // stays when names change, and is never another's
        username: answer.user.name,
        email: mail || answer.user.upn || undefined,
        email_verified: Boolean(mail),
        name: (values.displayName && values.displayName[0]) || answer.user.name
      });
    } else if (answer.verdict === 'refused' && answer.class === 'credentials') {
      tell(new WrongUsernameOrPasswordError(userNameOrEmail, text));
    } else if (answer.verdict === 'refused') {
      tell(new UnauthorizedError(text)); // the account may not sign in: Auth0 shows this sentence
    } else {
      fault(answer.reason + ': ' + text);
    }
  }

  const request = https.request(new URL('/v1/sign-in', configuration.POSTERN_URL), {
    method: 'POST',
    ca: configuration.POSTERN_CA || undefined,
    headers: {
      'Content-Type': 'application/json',
      'Content-Length': Buffer.byteLength(body),
      Authorization: 'Bearer ' + configuration.POSTERN_SECRET
    },
    timeout: 18000 // above budget_ms of gateway.conf, below Auth0's own limit of 20 s
  }, function (response) {
    let said = '';
    response.setEncoding('utf8');
    response.on('data', function (part) { said += part; });
    response.on('error', function (error) { fault(error.message); });
    response.on('end', function () {
      let answer;
      try {
        answer = JSON.parse(said);
      } catch (error) {
        return fault('HTTP ' + response.statusCode + ' without JSON');
      }
      if (response.statusCode !== 200) return fault('HTTP ' + response.statusCode + ': ' + (answer.detail || answer.title));
      take(answer);
    });
  });
  request.on('timeout', function () { request.destroy(new Error('no answer in time')); });
  request.on('error', function (error) { fault(error.message); });
  request.end(body);
}
