//go:build hostile

package hostile

import (
	"crypto"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
)

// signer signs the text of a JWT.
type signer func(text string) []byte

func unsigned(string) []byte { return nil }

func hs256(key []byte) signer {
	return func(text string) []byte {
		h := hmac.New(sha256.New, key)
		h.Write([]byte(text))
		return h.Sum(nil)
	}
}

func rs256(key *rsa.PrivateKey) signer {
	return func(text string) []byte {
		sum := sha256.Sum256([]byte(text))
		signature, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:])
		if err != nil {
			panic(err) // the key is made here
		}
		return signature
	}
}

// jwt returns a JSON Web Token.
func jwt(header, claims map[string]any, sign signer) string {
	part := func(v any) string {
		b, err := json.Marshal(v)
		if err != nil {
			panic(err) // the values are built here
		}
		return base64.RawURLEncoding.EncodeToString(b)
	}
	text := part(header) + "." + part(claims)
	return text + "." + base64.RawURLEncoding.EncodeToString(sign(text))
}

// forgedRow is row 30, as far as it goes without an issuer: no JWT is a credential, and
// none makes a core fetch or open anything.
func forgedRow() *row {
	var list []credential
	var issuer net.Listener
	var fetched atomic.Int64
	return &row{
		number: 30, name: "JSON Web Tokens: none, HS256 with public keys, kid, jku, huge", once: true,
		setup: func(b *bout) {
			name, _ := b.principal("admin", "* * *")
			key, err := rsa.GenerateKey(rand.Reader, 2048)
			b.must(key, err)
			public := pem.EncodeToMemory(&pem.Block{Type: "RSA PUBLIC KEY", Bytes: x509.MarshalPKCS1PublicKey(&key.PublicKey)})
			hello, err := b.client.Login.Hello(b.ctx, &ruedov1.HelloRequest{})
			b.must(hello, err)
			issuer, err = net.Listen("tcp", "127.0.0.1:0")
			b.must(issuer, err)
			at := "http://" + issuer.Addr().String() + "/keys"
			now := time.Now()
			claims := func(more ...any) map[string]any {
				c := map[string]any{
					"iss": b.url, "sub": "user/" + name, "aud": "hostile", "iat": now.Unix(), "exp": now.Add(time.Hour).Unix(),
					"name": name, "preferred_username": name, "roles": []string{"admin"}, "grants": []string{"* * *"}, "groups": []string{"admin"},
				}
				for i := 0; i+1 < len(more); i += 2 {
					c[more[i].(string)] = more[i+1]
				}
				return c
			}
			head := func(alg string, more ...any) map[string]any {
				h := map[string]any{"alg": alg, "typ": "JWT"}
				for i := 0; i+1 < len(more); i += 2 {
					h[more[i].(string)] = more[i+1]
				}
				return h
			}
			list = nil
			bad := func(name, token string) { list = append(list, shown(name, "Bearer "+token)) }
			for _, none := range []string{"none", "None", "NONE", ""} {
				bad("alg "+none, jwt(head(none), claims(), unsigned))
			}
			bad("alg none without its last dot", strings.TrimSuffix(jwt(head("none"), claims(), unsigned), "."))
			bad("HS256 with the public key", jwt(head("HS256"), claims(), hs256(public)))
			bad("HS256 with the pin of the cluster", jwt(head("HS256"), claims(), hs256([]byte(hello.GetPin()))))
			bad("HS256 with an empty key", jwt(head("HS256"), claims(), hs256(nil)))
			bad("RS256 of somebody", jwt(head("RS256"), claims(), rs256(key)))
			bad("RS256 that is not one", jwt(head("RS256"), claims(), hs256(public)))
			bad("another audience", jwt(head("RS256"), claims("aud", "somebody-else"), rs256(key)))
			bad("another issuer", jwt(head("RS256"), claims("iss", at), rs256(key)))
			bad("expired", jwt(head("RS256"), claims("exp", now.Add(-time.Hour).Unix()), rs256(key)))
			bad("not yet", jwt(head("RS256"), claims("nbf", now.Add(time.Hour).Unix()), rs256(key)))
			for _, kid := range []string{"../../../../../../dev/null", "/proc/self/environ", "file:///etc/passwd", "' OR 1=1 --", "x\x00y", strings.Repeat("k", 8<<10)} {
				bad(fmt.Sprintf("kid %.20q", kid), jwt(head("HS256", "kid", kid), claims(), hs256(nil)))
			}
			for _, field := range []string{"jku", "x5u"} {
				bad(field, jwt(head("RS256", field, at, "kid", "k"), claims("iss", at), rs256(key)))
			}
			bad("its own key", jwt(head("RS256", "jwk", map[string]any{
				"kty": "RSA", "e": "AQAB", "n": base64.RawURLEncoding.EncodeToString(key.N.Bytes()),
			}), claims(), rs256(key)))
			bad("crit", jwt(head("RS256", "b64", false, "crit", []string{"b64"}), claims(), rs256(key)))
			bad("45 KB of claims", jwt(head("RS256"), claims("more", strings.Repeat("x", 45<<10)), rs256(key)))
			bad("deep claims", jwt(head("none"), claims("more", json.RawMessage(strings.Repeat("[", 9000)+strings.Repeat("]", 9000))), unsigned))
			bad("encrypted", strings.Repeat(jwt(head("RSA-OAEP", "enc", "A256GCM"), nil, unsigned)+".", 2)+"x")
			bad("many dots", strings.Repeat(".", 50<<10))
		},
		moves: []move{
			{"at every procedure and route", func(b *bout) {
				fetched.Store(0)
				var accepting sync.WaitGroup
				accepting.Go(func() {
					for {
						conn, err := issuer.Accept()
						if err != nil {
							return
						}
						fetched.Add(1)
						_ = conn.Close()
					}
				})
				b.uniform(list)
				_ = issuer.Close()
				accepting.Wait()
				if n := fetched.Load(); n > 0 {
					b.Errorf("a JWT made the core connect to what it names, %d times", n)
				}
			}},
			{"over the limit of a header", func(b *bout) {
				long := jwt(map[string]any{"alg": "none"}, map[string]any{"more": strings.Repeat("x", 100<<10)}, unsigned)
				got, err := b.once(false, request{http.MethodPost, "/call/" + victimName, bearing(long), nil})
				if err == nil && got.status != http.StatusRequestHeaderFieldsTooLarge { // it may hang up before all of it was sent
					b.Errorf("%s", got)
				}
			}},
		},
		peakCore: 128 << 20,
	}
}
