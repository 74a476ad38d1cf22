// The request of section 7, and the call that carries it: section 10.
package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptrace"
	"os"
	"path/filepath"
	"regexp"
	"sort"
	"strings"
	"time"

	jose "gopkg.in/square/go-jose.v2"
)

const answerMax = 4 << 20

var claimsMax = map[int]int{2048: 1374, 4096: 2910}

func random(n int) []byte {
	data := make([]byte, n)
	if _, err := rand.Read(data); err != nil {
		panic(err)
	}
	return data
}

// directory is what an answer of GET keys says. ready: which share of the work each that is ready should get.
type directory struct {
	roster     roster
	state      string
	statements map[string]statement
	ready      map[string]float64
}

// weights reads the relay's ready list.
func weights(v any) map[string]float64 {
	ready := map[string]float64{}
	for _, v := range array(v, 0, 512) {
		entry, _ := v.(object)
		kid, _ := entry["kid"].(string)
		realms, _ := entry["realms"].([]any)
		if weight, ok := entry["weight"].(int64); ok && weight >= 1 && weight <= 1000 && len(realms) > 0 {
			ready[kid] = float64(weight)
		} else if len(realms) > 0 {
			ready[kid] = 1
		}
	}
	return ready
}

var stateForm = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,63}$`)

// openDirectory takes the answer of GET keys: of each connector the statement that counts. base: what there was, of which the answer may tell
// what changed; its statements were verified.
func openDirectory(answer []byte, e expectations, base *directory) directory {
	found := parseObject(answer)
	d := directory{statements: map[string]statement{}}
	since, change := found["since"]
	if change && (base == nil || base.state == "" || since != base.state) {
		malformed("keys: a change since a state that is not ours")
	}
	if _, there := found["roster"]; change && !there {
		d.roster = base.roster
		if e.now > d.roster.exp+120 {
			refuse("expired", "roster")
		}
	} else {
		d.roster = verifyRoster(found["roster"], e)
	}
	take := func(text any) {
		var s statement
		if try(func() { s = verifyStatement(text, d.roster, e.now) }) != nil {
			return
		}
		if old, there := d.statements[s.connector.kid]; !there || s.newer(old) {
			d.statements[s.connector.kid] = s
		}
	}
	if change {
		_, anew := found["roster"]
		for kid, s := range base.statements {
			if anew { // whose it is may have changed
				take(s.text)
			} else if e.now <= s.exp+120 {
				d.statements[kid] = s
			}
		}
		for _, kid := range array(found["gone"], 0, 1024) {
			if kid, ok := kid.(string); ok {
				delete(d.statements, kid)
			}
		}
	}
	for _, text := range array(found["statements"], 0, 512) {
		take(text)
	}
	if _, there := found["ready"]; change && !there {
		d.ready = base.ready
	} else {
		d.ready = weights(found["ready"])
	}
	if state, ok := found["state"].(string); ok && stateForm.MatchString(state) {
		d.state = state
	}
	return d
}

// order gives the statements, ready ones first, at random among them by the relay's weights.
func (d directory) order() (list []statement) {
	place := map[string]float64{}
	for kid, s := range d.statements {
		list = append(list, s)
		dice := float64(binary.BigEndian.Uint32(random(4)))
		weight, ready := d.ready[kid]
		if !ready {
			place[kid], weight = 1e6, 1
		}
		place[kid] += -math.Log((dice+1)/(1<<32)) / weight
	}
	sort.Slice(list, func(i, k int) bool { return place[list[i].connector.kid] < place[list[k].connector.kid] })
	return list
}

// choose picks at most four that serve the name.
func choose(list []statement, d domain, username string, now int64) (chosen []statement) {
	for _, s := range list {
		_, may := s.connector.domains[d.name]
		if _, live := s.liveKey(now); live && may && s.announces(d, username) && len(chosen) < 4 {
			chosen = append(chosen, s)
		}
	}
	if chosen == nil {
		refuse("no-connector", "no connector serves this name")
	}
	return chosen
}

// seal makes the text of section 7.4 from go-jose's general JSON. It has one recipient more, which is left out: with one alone go-jose would
// write the recipient's header into the protected one.
func seal(plain []byte, keys []timedKey) string {
	decoy, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	recipients := []jose.Recipient{{Algorithm: jose.ECDH_ES_A256KW, Key: &decoy.PublicKey}}
	for _, key := range keys {
		recipients = append(recipients, jose.Recipient{Algorithm: jose.ECDH_ES_A256KW, Key: key.key, KeyID: key.kid})
	}
	options := (&jose.EncrypterOptions{}).WithType("postern-request+jwe").WithContentType("JWT")
	encrypter, err := jose.NewMultiEncrypter(jose.A256GCM, recipients, options)
	if err != nil {
		panic(err)
	}
	sealed, err := encrypter.Encrypt(plain)
	if err != nil {
		panic(err)
	}
	var general struct {
		Protected, IV, Ciphertext, Tag string
		Recipients                     []struct {
			Header struct {
				Kid string
				Epk struct{ X, Y string }
			}
			EncryptedKey string `json:"encrypted_key"`
		}
	}
	if err := json.Unmarshal([]byte(sealed.FullSerialize()), &general); err != nil {
		panic(err)
	}
	text := strings.Join([]string{general.Protected, general.IV, general.Ciphertext, general.Tag}, ".") + "\n"
	for _, r := range general.Recipients[1:] {
		text += strings.Join([]string{r.Header.Kid, r.Header.Epk.X, r.Header.Epk.Y, r.EncryptedKey}, ".") + "\n"
	}
	return text
}

type service struct {
	id, kid string
	key     any
}

// first: the id of the first attempt, where this is the second.
func makeRequest(r roster, list []statement, by service, now int64, username, password, first string) (asked, string) {
	d := r.domainOf(username)
	chosen := choose(list, d, username, now)
	a := asked{id: hex.EncodeToString(random(16)), service: by.id, tenant: r.tenant, rk: random(32), padded: 2048, domain: d}
	if first != "" {
		a.id = first + "-2"
	}
	for name, other := range r.domains {
		if name != d.name && other.sid != "" {
			a.otherSids = append(a.otherSids, other.sid)
		}
	}
	var to []string
	var keys []timedKey
	for _, s := range chosen {
		key, _ := s.liveKey(now)
		keys, to, a.to = append(keys, key), append(to, s.connector.kid), append(a.to, recipient{s.connector, s.sign})
		if s.pad == 4096 {
			a.padded = 4096
		}
	}
	claims := marshal(object{"v": 1, "iss": by.id, "aud": r.tenant, "jti": a.id, "iat": now, "exp": now + 60, "to": to, "username": username,
		"password": password, "rk": toB64u(a.rk), "client": object{"ip": "203.0.113.11", "app": "interop-go"}})
	if len(claims) > claimsMax[2048] {
		a.padded = 4096
	}
	if len(claims) > claimsMax[a.padded] {
		malformed("too long for a request")
	}
	options := (&jose.SignerOptions{}).WithType("postern-request+jwt").WithHeader("kid", by.kid)
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: by.key}, options)
	if err != nil {
		panic(err)
	}
	signed, err := signer.Sign(claims)
	if err != nil {
		panic(err)
	}
	compact, err := signed.CompactSerialize()
	if err != nil {
		panic(err)
	}
	hash := sha256.Sum256([]byte(compact))
	a.req = toB64u(hash[:])
	return a, seal([]byte(compact+strings.Repeat(" ", a.padded-len(compact))), keys)
}

// marshal writes JSON without escaping what HTML would need.
func marshal(v any) []byte {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		panic(err)
	}
	return bytes.TrimRight(text.Bytes(), "\n")
}

// ---- the calls ----

func must[T any](v T, err error) T {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(3)
	}
	return v
}

func textOf(path string) string { return strings.TrimSpace(string(must(os.ReadFile(path)))) }

func problem(answer *http.Response, body []byte) object {
	found := object{"type": "bad-answer", "started": "unknown"}
	if strings.HasPrefix(answer.Header.Get("Content-Type"), "application/problem+json") {
		found = parseObject(body)
	}
	kind, _ := found["type"].(string)
	started, known := found["started"].(string)
	if !known {
		started = "unknown"
	}
	return object{"status": answer.StatusCode, "problem": strings.TrimPrefix(kind, "urn:postern:"), "started": started}
}

// relay has its nodes in the order in which they are asked, each until it fails.
type relay struct {
	client *http.Client
	nodes  []string
	secret string
}

func (r *relay) goOn() { r.nodes = append(r.nodes[1:], r.nodes[0]) }

// call asks the first node. sent: whether a byte of the request may have left.
func (r *relay) call(method, path, body string, headers map[string]string) (answer *http.Response, text []byte, sent bool, err error) {
	request := must(http.NewRequest(method, r.nodes[0]+path, strings.NewReader(body)))
	request.Header.Set("Authorization", "Bearer "+r.secret)
	for name, v := range headers {
		request.Header.Set(name, v)
	}
	trace := &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { sent = true }}
	if answer, err = r.client.Do(request.WithContext(httptrace.WithClientTrace(request.Context(), trace))); err != nil {
		return
	}
	defer answer.Body.Close()
	text, err = io.ReadAll(io.LimitReader(answer.Body, answerMax))
	return
}

func transport(err error, sent bool) object {
	return object{"problem": "transport", "started": map[bool]string{false: "no", true: "unknown"}[sent], "detail": err.Error()}
}

// keys is what open makes of the first answer that is of use, or the last node's problem.
func (r *relay) keys(open func([]byte) directory) (d directory, failed object) {
	for left := len(r.nodes); ; left-- {
		answer, body, _, err := r.call("GET", "keys", "", nil)
		failed = nil
		useful := false
		if err != nil {
			failed = transport(err, false)
		} else if answer.StatusCode != 200 {
			failed, useful = problem(answer, body), answer.StatusCode < 500
		} else {
			d = open(body)
			useful = len(d.ready) > 0
		}
		if useful || left == 1 {
			return
		}
		r.goOn()
	}
}

// post goes to the next node only where not a byte left.
func (r *relay) post(id, sealed string) (*http.Response, []byte, object) {
	headers := map[string]string{"Content-Type": "application/postern-request", "Postern-Id": id, "Postern-Budget": "8000"}
	for left := len(r.nodes); ; left-- {
		answer, body, sent, err := r.call("POST", "sign-ins", sealed, headers)
		if err == nil {
			return answer, body, nil
		}
		if sent || left == 1 {
			return nil, nil, transport(err, sent)
		}
		r.goOn()
	}
}

func attempt(r *relay, o map[string]*string, by service, password, first string) object {
	now := time.Now().Unix()
	d, failed := r.keys(func(body []byte) directory {
		return openDirectory(body, expectations{*o["pin"], *o["tenant"], now, 0, o["sandbox"] != nil}, nil)
	})
	if failed != nil {
		return failed
	}
	a, sealed := makeRequest(d.roster, d.order(), by, now, *o["user"], password, first)
	answer, body, failed := r.post(a.id, sealed)
	if failed == nil && answer.StatusCode != 200 {
		failed = problem(answer, body)
	}
	if failed != nil {
		failed["id"] = a.id
		return failed
	}
	return object{"id": a.id, "connector": answer.Header.Get("Postern-Connector"), "verdict": checkVerdict(a, string(body), time.Now().Unix())}
}

func signIn(o map[string]*string, password string) object {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(must(os.ReadFile(*o["ca"])))
	r := relay{client: &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}},
		secret: textOf(*o["secret-file"])}
	for _, url := range strings.Fields(*o["relay"]) {
		r.nodes = append(r.nodes, strings.TrimRight(url, "/")+"/v1/tenants/"+*o["tenant"]+"/")
	}
	public := parseObject(must(os.ReadFile(filepath.Join(*o["service"], "service.pub.json"))))
	var key jose.JSONWebKey
	if err := key.UnmarshalJSON(must(os.ReadFile(filepath.Join(*o["service"], "service.key.json")))); err != nil {
		malformed("%v", err)
	}
	by := service{public["id"].(string), public["kid"].(string), key.Key}
	outcome := attempt(&r, o, by, password, "")
	if outcome["status"] == http.StatusServiceUnavailable && outcome["started"] == "no" && len(r.nodes) > 1 {
		first, _ := outcome["id"].(string)
		r.goOn()
		outcome = attempt(&r, o, by, password, first)
	}
	return outcome
}

// runSignIn signs somebody in; the password is the first line of standard input. 0 accepted, 1 refused, 3 unavailable.
func runSignIn(argv []string) int {
	flags := flag.NewFlagSet("sign-in", flag.ExitOnError)
	o := map[string]*string{}
	for _, name := range []string{"relay", "tenant", "pin", "ca", "secret-file", "service", "user"} {
		o[name] = flags.String(name, "", "")
	}
	sandbox := flags.Bool("sandbox", false, "")
	_ = flags.Parse(argv)
	if *sandbox {
		o["sandbox"] = new(string)
	}
	typed := must(io.ReadAll(os.Stdin))
	var outcome object
	if refused := try(func() { outcome = signIn(o, strings.Split(string(typed), "\n")[0]) }); refused != nil {
		outcome = object{"problem": refused.What, "detail": refused.Text}
	}
	fmt.Println(string(marshal(outcome)))
	verdict, _ := outcome["verdict"].(object)
	switch verdict["verdict"] {
	case "accepted":
		return 0
	case "refused":
		return 1
	}
	return 3
}
