package serve

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// send sends a request with headers and gives the status and the headers of the answer.
func send(t *testing.T, method, url, body string, headers ...string) (int, http.Header) {
	t.Helper()
	r, err := http.NewRequest(method, url, strings.NewReader(body))
	require.NoError(t, err)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	got, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	require.NoError(t, got.Body.Close())
	return got.StatusCode, got.Header
}

// Pages of other sites cannot use the server, whatever way they try.
func TestOtherSites(t *testing.T) {
	web, _ := start(t, DefaultLimits())
	url := web.URL + "/v1/completions"
	const body, kind, json = `{"prompt": "5", "max_tokens": 1}`, "Content-Type", "application/json"
	for _, row := range []struct {
		name    string
		want    int
		headers []string
	}{
		{"a program", 200, []string{kind, json}},
		{"a program that says utf-8", 200, []string{kind, json + "; charset=utf-8"}},
		{"a page of the server", 200, []string{kind, json, "Origin", web.URL, "Sec-Fetch-Site", "same-origin"}},
		{"another site", 403, []string{kind, json, "Origin", "https://evil.example"}},
		{"another port of this machine", 403, []string{kind, json, "Origin", "http://127.0.0.1:1"}},
		{"a file or a sandbox", 403, []string{kind, json, "Origin", "null"}},
		{"another site without Origin", 403, []string{kind, json, "Sec-Fetch-Site", "cross-site"}},
		{"a neighbouring site", 403, []string{kind, json, "Sec-Fetch-Site", "same-site"}},
		{"a form, which browsers send without asking", 415, []string{kind, "text/plain"}},
		{"no content type", 415, nil},
	} {
		status, h := send(t, "POST", url, body, row.headers...)
		require.Equal(t, row.want, status, row.name)
		if row.want == 403 {
			require.Empty(t, h.Get("Access-Control-Allow-Origin"), row.name)
		}
	}
	link := []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document"}
	for _, row := range []struct {
		name, path string
		want       int
		headers    []string
	}{
		{"a link to the page", "/", 200, link},
		{"a frame around the page", "/", 403, []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "iframe"}},
		{"a script of another site that reads the page", "/", 403, []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "no-cors"}},
		{"a link to the models", "/v1/models", 403, link},
		{"a link to the metrics", "/metrics", 403, link},
		{"a script of the page used elsewhere", "/page/app.js", 403, []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "cors"}},
	} {
		status, _ := send(t, "GET", web.URL+row.path, "", row.headers...)
		require.Equal(t, row.want, status, row.name)
	}
	r, err := http.NewRequest("GET", web.URL+"/", nil)
	require.NoError(t, err)
	r.Host = "evil.example" // a name that was made to point here
	got, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	require.NoError(t, got.Body.Close())
	require.Equal(t, 403, got.StatusCode)
	status, _ := send(t, "OPTIONS", url, "", "Origin", "https://evil.example", "Access-Control-Request-Method", "POST")
	require.Equal(t, 403, status, "a browser asks first")
}

func TestAllowedOrigin(t *testing.T) {
	web, _ := startFor(t, DefaultLimits(), Access{Origins: []string{"https://good.example"}})
	url := web.URL + "/v1/models"
	status, h := send(t, "GET", url, "", "Origin", "https://good.example", "Sec-Fetch-Site", "cross-site")
	require.Equal(t, 200, status)
	require.Equal(t, "https://good.example", h.Get("Access-Control-Allow-Origin"))
	require.Equal(t, "Origin", h.Get("Vary"))
	status, h = send(t, "OPTIONS", url, "", "Origin", "https://good.example", "Access-Control-Request-Method", "POST")
	require.Equal(t, 204, status)
	require.Contains(t, h.Get("Access-Control-Allow-Headers"), "Authorization")
	status, _ = send(t, "GET", url, "", "Origin", "https://good.example.evil.example")
	require.Equal(t, 403, status)

	require.NoError(t, CheckOrigin("https://good.example"))
	require.NoError(t, CheckOrigin("*"))
	for _, bad := range []string{"good.example", "https://good.example/page", "", "https://"} {
		require.Error(t, CheckOrigin(bad), bad)
	}
}

func TestKey(t *testing.T) {
	web, _ := startFor(t, DefaultLimits(), Access{Key: "secret"})
	url := web.URL + "/v1/models"
	for header, want := range map[string]int{"Bearer secret": 200, "Bearer secre": 401, "Bearer secrets": 401, "secret": 401, "Bearer ": 401, "": 401} {
		status, _ := send(t, "GET", url, "", "Authorization", header)
		require.Equal(t, want, status, header)
	}
}
