// A sign-in service's side of the protocol, written from queue/PROTOCOL.md with go-jose: verifies rosters, statements and verdicts.
package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/hex"
	"math/big"
	"regexp"
	"strconv"
	"strings"

	jose "gopkg.in/square/go-jose.v2"
)

const skew = 120

var (
	spkiHead, _ = hex.DecodeString("3059301306072a8648ce3d020106082a8648ce3d03010703420004")
	nameForm    = regexp.MustCompile("^[^\\x00-\\x20\\x7f\"/\\\\:*?<>|@,]+$")
	labelForm   = regexp.MustCompile(`^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?$`)
	sidForm     = regexp.MustCompile(`^S-1-5-21-(0|[1-9][0-9]{0,9})-(0|[1-9][0-9]{0,9})-(0|[1-9][0-9]{0,9})$`)
	ridForm     = regexp.MustCompile(`^-(0|[1-9][0-9]{0,9})$`)
	humanForm   = regexp.MustCompile(`^[^\x00-\x1f\x7f]+$`)
	roleForm    = regexp.MustCompile(`^[a-z0-9-]+$`)
	attribute   = regexp.MustCompile(`^[A-Za-z0-9.-]+$`)
)

// lower is without regard to the case of A to Z alone.
func lower(text string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, text)
}

// ---- keys and JWS, sections 3 and 4 ----

type publicKey struct {
	key      *ecdsa.PublicKey
	kid, pin string
}

func newKey(v any, further ...string) publicKey {
	given := members(v, append([]string{"kty", "crv", "x", "y"}, further...))
	if given["kty"] != "EC" || given["crv"] != "P-256" {
		malformed("not a P-256 key")
	}
	x, y := fromB64u(given["x"], 32), fromB64u(given["y"], 32)
	key := &ecdsa.PublicKey{Curve: elliptic.P256(), X: new(big.Int).SetBytes(x), Y: new(big.Int).SetBytes(y)}
	if !key.Curve.IsOnCurve(key.X, key.Y) {
		malformed("not a point on P-256")
	}
	thumb, err := (&jose.JSONWebKey{Key: key}).Thumbprint(crypto.SHA256)
	if err != nil {
		malformed("thumbprint: %v", err)
	}
	pin := sha256.Sum256(append(append(append([]byte{}, spkiHead...), x...), y...))
	return publicKey{key, toB64u(thumb), toB64u(pin[:])}
}

func parseHeader(text string) object {
	data := fromB64u(text, -1)
	if len(data) > 1024 {
		malformed("a header that is too long")
	}
	return parseObject(data)
}

type token struct {
	text, kid string
	payload   []byte
}

// parseJws checks form and header; verify says whether the signature is right.
func parseJws(v any, typ string, most int) token {
	text, ok := v.(string)
	parts := strings.Split(text, ".")
	if !ok || len(text) > most || len(parts) != 3 {
		malformed("JWS: form")
	}
	header := members(parseHeader(parts[0]), []string{"alg", "typ", "kid"})
	if header["alg"] != "ES256" || header["typ"] != typ {
		malformed("JWS: other alg or typ")
	}
	fromB64u(parts[2], 64)
	return token{text, keyID(header["kid"]), fromB64u(parts[1], -1)}
}

func (t token) verify(key publicKey) {
	parsed, err := jose.ParseSigned(t.text)
	if err != nil || t.kid != key.kid {
		refuse("key", "JWS: of another key")
	}
	if _, err = parsed.Verify(key.key); err != nil {
		refuse("key", "JWS: the signature does not verify")
	}
}

// ---- roster and statements, sections 5 and 6 ----

func times(claims object, life int64) {
	iat, exp := seconds(claims["iat"]), seconds(claims["exp"])
	if exp <= iat || exp-iat > life {
		malformed("exp is not within the life behind iat")
	}
}

func current(claims object, now int64) {
	if claims["iat"].(int64) > now+skew || now > claims["exp"].(int64)+skew {
		refuse("time", "not current")
	}
}

func once(seen map[string]bool, marks ...string) {
	for _, mark := range marks {
		if seen[mark] {
			malformed("%s is repeated", mark)
		}
		seen[mark] = true
	}
}

type domain struct {
	name, sid    string
	upn, netbios []string // what leads to it, in small letters
	isDefault    bool
}

func names(v any) (found []string) {
	for _, name := range array(v, 0, 64) {
		found = append(found, str(name, 1, 255, nameForm))
	}
	return found
}

func rosterDomain(v any, seen map[string]bool) domain {
	d := members(v, []string{"name", "suffixes", "netbios"}, "sid", "default")
	name := str(d["name"], 1, 253, nil)
	labels := strings.Split(name, ".")
	for _, label := range labels {
		str(label, 1, 63, labelForm)
	}
	if len(labels) < 2 {
		malformed("a domain without a dot")
	}
	found := domain{name: name, upn: []string{name}}
	for _, suffix := range names(d["suffixes"]) {
		if lower(suffix) != suffix {
			malformed("a suffix in capitals")
		}
		found.upn = append(found.upn, suffix)
	}
	for _, netbios := range names(d["netbios"]) {
		found.netbios = append(found.netbios, lower(netbios))
	}
	if v, there := d["sid"]; there {
		found.sid = str(v, 1, 64, sidForm)
		for _, n := range strings.Split(found.sid, "-")[4:] {
			if _, err := strconv.ParseUint(n, 10, 32); err != nil {
				malformed("a SID that is none")
			}
		}
		once(seen, "sid "+found.sid)
	}
	if v, there := d["default"]; there {
		if found.isDefault = v == true; !found.isDefault {
			malformed("default is true or absent")
		}
		once(seen, "default")
	}
	for _, name := range found.upn {
		once(seen, "upn "+name)
	}
	for _, name := range found.netbios {
		once(seen, "netbios "+name)
	}
	return found
}

type member struct {
	id, kid string
	key     publicKey
	domains map[string]domain
}

func rosterMember(v any, seen map[string]bool, further ...string) (member, object) {
	m := members(v, append([]string{"id", "kid", "jwk", "name"}, further...))
	key := newKey(m["jwk"])
	if m["kid"] != key.kid {
		malformed("kid is not the thumbprint")
	}
	once(seen, "id "+identifier(m["id"]), "name "+str(m["name"], 1, 64, humanForm), "key "+key.kid)
	return member{id: m["id"].(string), kid: key.kid, key: key}, m
}

func memberDomains(v any, domains map[string]domain) map[string]domain {
	found := map[string]domain{}
	for _, v := range array(v, 0, 64) {
		d, known := domains[str(v, 1, 253, nil)]
		if _, twice := found[d.name]; !known || twice {
			malformed("a member's domain")
		}
		found[d.name] = d
	}
	return found
}

type roster struct {
	tenant     string
	exp        int64
	domains    map[string]domain
	connectors map[string]member
}

type expectations struct {
	pin, tenant string
	now, minSeq int64
	sandbox     bool // it is one that the caller speaks to
}

// verifyRoster is section 5, in its order.
func verifyRoster(text any, e expectations) roster {
	t := parseJws(text, "postern-roster+jwt", 262144)
	p := parseObject(t.payload)
	key := newKey(p["key"])
	if key.pin != e.pin {
		refuse("key", "not the pinned tenant key")
	}
	t.verify(key)
	if p["v"] != int64(2) && p["v"] != int64(3) {
		malformed("other version")
	}
	needed := []string{"v", "tenant", "key", "seq", "iat", "exp", "domains", "connectors", "services", "removed"}
	if p["v"] == int64(3) {
		needed = append(needed, "people")
	}
	members(p, needed, "kind")
	tenantName(p["tenant"])
	seconds(p["seq"])
	kind, sandbox := p["kind"]
	if sandbox {
		word(kind, "sandbox")
	}
	times(p, 30*86400)
	if p["tenant"] != e.tenant {
		refuse("tenant", "of another tenant")
	}
	if sandbox != e.sandbox {
		refuse("kind", "a sandbox's, or not")
	}
	current(p, e.now)
	if p["seq"].(int64) < e.minSeq {
		refuse("seq", "older than one seen before")
	}
	seen := map[string]bool{"key " + key.kid: true}
	domains := map[string]domain{}
	for _, v := range array(p["domains"], 0, 64) {
		d := rosterDomain(v, seen)
		domains[d.name] = d
	}
	r := roster{e.tenant, p["exp"].(int64), domains, map[string]member{}}
	for _, v := range array(p["connectors"], 0, 512) {
		c, own := rosterMember(v, seen, "domains")
		c.domains = memberDomains(own["domains"], domains)
		r.connectors[c.kid] = c
	}
	for _, v := range array(p["services"], 0, 512) {
		_, own := rosterMember(v, seen, "role")
		str(own["role"], 1, 31, roleForm)
	}
	if p["v"] == int64(3) {
		for _, v := range array(p["people"], 0, 64) {
			_, own := rosterMember(v, seen, "role", "domains", "exp")
			memberDomains(own["domains"], domains)
			str(own["role"], 1, 31, roleForm)
			if end := seconds(own["exp"]); end < 1 || end > p["iat"].(int64)+90*86400 {
				malformed("a person's end")
			}
		}
	}
	for _, v := range array(p["removed"], 0, 512) {
		once(seen, "key "+keyID(v))
	}
	return r
}

type timedKey struct {
	publicKey
	nbf, exp int64
}

func statementKey(v any, use, alg string, identity string, seen map[string]bool) timedKey {
	key := newKey(v, "kid", "use", "alg", "nbf", "exp")
	e := v.(object)
	nbf, exp := seconds(e["nbf"]), seconds(e["exp"])
	if e["kid"] != key.kid || e["use"] != use || e["alg"] != alg || exp <= nbf || key.kid == identity {
		malformed("statement: a key that may not be there")
	}
	once(seen, key.kid)
	return timedKey{key, nbf, exp}
}

type statement struct {
	connector     member
	boot, text    string
	seq, iat, exp int64
	pad           int64
	names         map[string]bool // "upn corp.example", "netbios corp": those that the connector announces
	keys, sign    []timedKey      // sign: they sign verdicts in the identity's place
}

// newer says which of two statements of one identity counts.
func (s statement) newer(old statement) bool {
	if s.boot == old.boot || s.iat == old.iat {
		return s.seq > old.seq
	}
	return s.iat > old.iat
}

func (s statement) liveKey(now int64) (best timedKey, found bool) {
	for _, k := range s.keys {
		if k.nbf <= now && now < k.exp && now < s.exp && (!found || k.nbf > best.nbf) {
			best, found = k, true
		}
	}
	return best, found
}

func contains(list []string, text string) bool {
	for _, entry := range list {
		if entry == text {
			return true
		}
	}
	return false
}

// announces: the statement's lists narrow what the roster allows.
func (s statement) announces(d domain, username string) bool {
	if before, _, netbios := strings.Cut(username, "\\"); netbios {
		return s.names["netbios "+lower(before)]
	}
	if at := strings.LastIndex(username, "@"); at >= 0 {
		return s.names["upn "+lower(username[at+1:])]
	}
	return s.names["upn "+d.name]
}

// domainOf says whose a name is.
func (r roster) domainOf(username string) domain {
	before, _, netbios := strings.Cut(username, "\\")
	at := strings.LastIndex(username, "@")
	for _, d := range r.domains {
		if (netbios && contains(d.netbios, lower(before))) || (!netbios && at >= 0 && contains(d.upn, lower(username[at+1:]))) ||
			(!netbios && at < 0 && d.isDefault) {
			return d
		}
	}
	refuse("no-connector", "no domain of the roster")
	return domain{}
}

// verifyStatement is section 6.
func verifyStatement(text any, r roster, now int64) (s statement) {
	t := parseJws(text, "postern-keys+jwt", 12288)
	c, known := r.connectors[t.kid]
	if !known {
		refuse("unknown", "its key is no connector of the roster")
	}
	t.verify(c.key)
	p := parseObject(t.payload)
	speaks := false
	for _, v := range array(p["v"], 1, 8) {
		speaks = integer(v, 1, 1<<53-1) == 1 || speaks
	}
	if !speaks {
		malformed("does not speak version 1")
	}
	members(p, []string{"v", "iss", "tenant", "boot", "seq", "iat", "exp", "realms", "suffixes", "netbios", "keys"}, "sign", "pad", "guard", "roster")
	fromB64u(p["boot"], 16)
	seconds(p["seq"])
	times(p, 7200)
	identifier(p["iss"])
	tenantName(p["tenant"])
	if p["tenant"] != r.tenant || p["iss"] != c.id {
		refuse("tenant", "of another tenant or connector")
	}
	current(p, now)
	s = statement{connector: c, boot: p["boot"].(string), text: text.(string), seq: p["seq"].(int64), iat: p["iat"].(int64), exp: p["exp"].(int64),
		names: map[string]bool{}}
	if v, there := p["roster"]; there {
		integer(v, 1, 255)
	}
	if v, there := p["pad"]; there {
		if s.pad = integer(v, 2048, 4096); s.pad != 2048 && s.pad != 4096 {
			malformed("pad")
		}
	}
	if v, there := p["guard"]; there && v != "on" {
		malformed("guard")
	}
	for list, kind := range map[string]string{"realms": "upn ", "suffixes": "upn ", "netbios": "netbios "} {
		for _, name := range names(p[list]) {
			s.names[kind+lower(name)] = true
		}
	}
	seen := map[string]bool{}
	for _, v := range array(p["keys"], 1, 4) {
		s.keys = append(s.keys, statementKey(v, "enc", "ECDH-ES+A256KW", c.kid, seen))
	}
	if v, there := p["sign"]; there {
		for _, v := range array(v, 1, 2) {
			key := statementKey(v, "sig", "ES256", c.kid, seen)
			if key.exp > p["exp"].(int64) || key.exp-key.nbf > 7200 {
				malformed("a signing key that outlives the statement")
			}
			s.sign = append(s.sign, key)
		}
	}
	return s
}

// ---- verdict, section 8 ----

// asked is what a service keeps of a request.
type asked struct {
	id, req, service, tenant string
	rk                       []byte
	padded                   int
	domain                   domain   // that was asked, as the roster has it
	otherSids                []string // of the roster's other domains
	to                       []recipient
}

type recipient struct {
	member
	sign []timedKey
}

func unpad(data []byte, length int) string {
	text := strings.TrimRight(string(data), " ")
	if len(data) != length || text == "" || strings.Contains(text, " ") {
		malformed("padding")
	}
	return text
}

func checkAttributes(v any) {
	a := members(v, []string{"state", "values"})
	word(a["state"], "complete", "truncated", "unavailable")
	values, ok := a["values"].(object)
	if !ok || len(values) > 16 || (len(values) > 0 && a["state"] == "unavailable") {
		malformed("attributes")
	}
	size := 0
	for name, list := range values {
		str(name, 1, 64, attribute)
		for _, text := range array(list, 1, 1600) {
			size += len(name) + len(str(text, 0, 1600, nil)) + 2
		}
	}
	if size > 1600 {
		malformed("attributes that are too long")
	}
}

// optional checks a string that may be absent.
func optional(o object, name string, most int) {
	if v, there := o[name]; there {
		str(v, 0, most, nil)
	}
}

func checkUser(v object) {
	user, named := v["user"]
	_, more := v["attributes"]
	accepted := v["verdict"] == "accepted"
	if named != accepted || (more && !accepted) || (accepted && v["password_proved"] != true) {
		malformed("accepted, and nothing else, has user, proof and perhaps attributes")
	}
	if !accepted {
		return
	}
	u := members(user, []string{"id", "domain"}, "guid", "upn", "sam")
	str(u["id"], 1, 191, nil)
	optional(u, "domain", 256)
	optional(u, "guid", 36)
	optional(u, "upn", 256)
	optional(u, "sam", 256)
	if more {
		checkAttributes(v["attributes"])
	}
}

var classes = map[string][]string{"accepted": {"none"}, "refused": {"credentials", "policy"}, "unavailable": {"infrastructure"}}

func checkClaims(v object) {
	if v["v"] != int64(1) {
		malformed("other version")
	}
	members(v, []string{"v", "iss", "aud", "tenant", "jti", "req", "iat", "exp", "verdict", "class", "reason", "password_proved",
		"may_have_counted", "t"}, "user", "attributes", "dc", "method", "raw", "retry_after")
	for _, name := range []string{"iss", "aud", "jti"} {
		identifier(v[name])
	}
	tenantName(v["tenant"])
	fromB64u(v["req"], 32)
	word(v["class"], classes[word(v["verdict"], "accepted", "refused", "unavailable")]...)
	word(v["may_have_counted"], "0", "1", "unknown")
	str(v["reason"], 1, 47, nil)
	if _, ok := v["password_proved"].(bool); !ok || seconds(v["exp"]) != seconds(v["iat"])+30 {
		malformed("exp or password_proved")
	}
	if after, there := v["retry_after"]; there && (integer(after, 1, 604800) == 0 || v["reason"] != "throttled") {
		malformed("retry_after")
	}
	checkUser(v)
	optional(v, "dc", 256)
	if method, there := v["method"]; there {
		word(method, "krb5", "ldap")
	}
	if raw, there := v["raw"]; there {
		r := members(raw, nil, "ldap", "krb", "ntstatus")
		optional(r, "ldap", 63)
		optional(r, "krb", 31)
		optional(r, "ntstatus", 31)
	}
	t := members(v["t"], []string{"opened", "dc", "total"})
	for _, name := range []string{"opened", "dc", "total"} {
		integer(t[name], 0, 1<<32-1)
	}
}

func openVerdict(text string, rk []byte) []byte {
	parts := strings.Split(text, ".")
	if len(text) > 8192 || len(parts) != 5 || parts[1] != "" {
		malformed("not a compact JWE of dir")
	}
	h := members(parseHeader(parts[0]), []string{"alg", "enc", "typ", "cty"})
	if h["alg"] != "dir" || h["enc"] != "A256GCM" || h["typ"] != "postern-verdict+jwe" || h["cty"] != "JWT" {
		malformed("header")
	}
	fromB64u(parts[2], 12)
	fromB64u(parts[3], -1)
	fromB64u(parts[4], 16)
	parsed, err := jose.ParseEncrypted(text)
	if err != nil {
		malformed("%v", err)
	}
	plain, err := parsed.Decrypt(rk)
	if err != nil {
		malformed("rk does not open it")
	}
	return plain
}

func signerOf(a asked, kid string, now int64) (recipient, publicKey) {
	for _, to := range a.to {
		if to.kid == kid {
			return to, to.key
		}
		for _, s := range to.sign {
			if s.kid == kid && s.nbf <= now+skew && now-skew < s.exp {
				return to, s.publicKey
			}
		}
	}
	refuse("key", "signed by nobody whom the request was sealed to")
	return recipient{}, publicKey{}
}

// isOf: the account's SID is the domain's and one number of 32 bits.
func isOf(account, sid string) bool {
	rest := strings.TrimPrefix(account, sid)
	if sid == "" || rest == account || !ridForm.MatchString(rest) {
		return false
	}
	_, err := strconv.ParseUint(rest[1:], 10, 32)
	return err == nil
}

func checkWhose(a asked, user object) {
	id := user["id"].(string)
	if user["domain"] != a.domain.name || (a.domain.sid != "" && !isOf(id, a.domain.sid)) {
		refuse("domain", "not of the domain that was asked")
	}
	for _, sid := range a.otherSids {
		if isOf(id, sid) {
			refuse("domain", "an account of another domain")
		}
	}
}

// checkVerdict is section 8.3. Whatever is Refused means unavailable.
func checkVerdict(a asked, text string, now int64) object {
	t := parseJws(unpad(openVerdict(text, a.rk), a.padded), "postern-verdict+jwt", 4096)
	signer, key := signerOf(a, t.kid, now)
	t.verify(key)
	v := parseObject(t.payload)
	checkClaims(v)
	for name, expected := range map[string]string{"iss": signer.id, "aud": a.service, "tenant": a.tenant, "jti": a.id, "req": a.req} {
		if v[name] != expected {
			malformed("%s is another's", name)
		}
	}
	current(v, now)
	if v["verdict"] == "accepted" {
		checkWhose(a, v["user"].(object))
	}
	return v
}
