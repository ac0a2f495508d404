package feed

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/config"
)

const token = "t0ken-in-the-url" //nolint:gosec // of a test

// publisher serves lists over HTTPS, with a CA of its own.
func publisher(t *testing.T, h http.HandlerFunc) (config.Feed, *httptest.Server) {
	t.Helper()
	s := httptest.NewTLSServer(h)
	t.Cleanup(s.Close)
	s.Config.ErrorLog = nil

	ca := filepath.Join(t.TempDir(), "ca.pem")
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	if err := os.WriteFile(ca, block, 0o600); err != nil {
		t.Fatal(err)
	}
	return config.Feed{
		Name: "test", URL: config.Hide(s.URL + "/" + token), CAFile: ca, Every: time.Hour,
	}, s
}

func text(s string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, s) }
}

// What a publisher may answer, and what is told of it: never a part of the URL, nor of the answer.
func TestFetchErrors(t *testing.T) {
	other := httptest.NewTLSServer(text("203.0.113.7\n"))
	defer other.Close()
	var bomb bytes.Buffer
	z := gzip.NewWriter(&bomb)
	line := []byte("#" + strings.Repeat("0", 1022) + "\n")
	for range 2 * mostBytes / len(line) {
		_, _ = z.Write(line)
	}
	_ = z.Close()

	for _, tt := range []struct {
		name, want string
		answer     http.HandlerFunc
	}{
		{"HTML", "HTML", text("<html>" + token)},
		{"another host", "redirects to another host", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, other.URL, http.StatusFound)
		}},
		{"away from https", "redirects to another host", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://"+r.Host+"/", http.StatusFound)
		}},
		{"in circles", "again and again", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/x", http.StatusFound)
		}},
		{"a bomb", "more than 32 MB", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write(bomb.Bytes())
		}},
		{"an error", "HTTP 500", func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, token, http.StatusInternalServerError)
		}},
		{"refused", "does not take the key", func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, token, http.StatusForbidden)
		}},
		{"unasked 304", "HTTP 304", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusNotModified)
		}},
		{"cut off", "the connection broke", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			fmt.Fprint(w, "203.0.113.7\n")
		}},
		{"too wide", "line 1", text("0.0.0.0/0")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, _ := publisher(t, tt.answer)
			l, err := fetch(t.Context(), c, nil)
			if err == nil {
				t.Fatalf("it was taken: %d prefixes", len(l.Prefixes))
			}
			got := describe(err)
			if !strings.Contains(got, tt.want) || strings.Contains(got, token) ||
				strings.Contains(got, "127.0.0.1") {
				t.Errorf("told: %q, want %q", got, tt.want)
			}
		})
	}

	// A body that never ends is left.
	c, _ := publisher(t, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "203.0.113.7\n")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := fetch(ctx, c, nil); err == nil || describe(err) != "it did not answer in time" {
		t.Errorf("a slow body: %v", err)
	}

	// A certificate that the feed does not trust, and a server that is not there.
	c.CAFile = ""
	if _, err := fetch(t.Context(), c, nil); err == nil || describe(err) != "its certificate is not trusted" {
		t.Errorf("without its CA: %v", err)
	}
	c.URL = config.Hide("https://127.0.0.1:1/" + token)
	if _, err := fetch(t.Context(), c, nil); err == nil || describe(err) != "it cannot be reached" {
		t.Errorf("without a server: %v", err)
	}
}

// When the time is over, a publisher may still end its answer in good form, in the middle of the list.
// Half a list is never taken for a whole one.
func TestTimeIsOverInTheMiddle(t *testing.T) {
	c, _ := publisher(t, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "203.0.113.7\n")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	for range 200 {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		l, err := fetch(ctx, c, nil)
		cancel()
		if err == nil {
			t.Fatalf("taken: %v", l.Prefixes)
		}
	}
}

// A firewall of this machine may refuse the connection. Its error is that of a permission, and must not
// be told as that of a file.
func TestRefusedConnectionIsNoFile(t *testing.T) {
	for _, refused := range []error{syscall.EPERM, syscall.EACCES} {
		err := &url.Error{Op: "Get", URL: "https://a.example/" + token, Err: &net.OpError{
			Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", refused),
		}}
		if got := describe(err); got != "it cannot be reached" {
			t.Errorf("%v: %q", refused, got)
		}
	}

	denied := &fs.PathError{Op: "open", Path: "/list", Err: syscall.EACCES}
	if got := describe(denied); got != "its file cannot be read by the user of amifend" {
		t.Errorf("a file: %q", got)
	}
}

// A list that has not changed is not sent again, and a redirect on the same host is followed.
func TestFetchIsConditional(t *testing.T) {
	var asked []string
	c, _ := publisher(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/"+token {
			http.Redirect(w, r, "/list", http.StatusFound)
			return
		}
		asked = append(asked, r.Header.Get("If-None-Match")+" "+r.Header.Get("If-Modified-Since"))
		w.Header().Set("ETag", `"1"`)
		http.ServeContent(w, r, "", time.Unix(1e9, 0), strings.NewReader("203.0.113.7\n"))
	})

	l, err := fetch(t.Context(), c, nil)
	if err != nil || len(l.Prefixes) != 1 {
		t.Fatal(l, err)
	}
	if _, err := fetch(t.Context(), c, l); !errors.Is(err, errUnchanged) {
		t.Errorf("the second time: %v", err)
	}
	if want := []string{" ", `"1" Sun, 09 Sep 2001 01:46:40 GMT`}; !slices.Equal(asked, want) {
		t.Errorf("asked %q, want %q", asked, want)
	}
}

// A file has the age of its own.
func TestFetchFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "list")
	if err := os.WriteFile(path, []byte("203.0.113.7\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	at := time.Now().Add(-48 * time.Hour)
	if err := os.Chtimes(path, at, at); err != nil {
		t.Fatal(err)
	}
	c := config.Feed{Name: "file", File: path}
	l, err := fetch(t.Context(), c, nil)
	if err != nil || time.Since(l.Fetched) < 47*time.Hour {
		t.Fatal(l, err)
	}
	if _, err := fetch(t.Context(), c, l); !errors.Is(err, errUnchanged) {
		t.Errorf("the second time: %v", err)
	}

	c.File = filepath.Dir(path)
	if _, err := fetch(t.Context(), c, l); err == nil || describe(err) != "its file is not a regular file" {
		t.Errorf("a folder: %v", err)
	}
	c.File = path + "x"
	if _, err := fetch(t.Context(), c, l); err == nil || describe(err) != "its file does not exist" {
		t.Errorf("no file: %v", err)
	}
}

// APIBAN is asked page by page, goes on where it ended, and forgets an address after seven days.
func TestAPIBAN(t *testing.T) {
	var asked []string
	var none atomic.Bool
	c, s := publisher(t, func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.Path)
		var page int
		_, _ = fmt.Sscanf(strings.TrimPrefix(r.URL.Path, "/api/"+token+"/banned"), "/%d", &page)
		if none.Load() || page == 2 {
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprint(w, `{"ipaddress":["no new bans"], "ID":"none"}`)
			return
		}
		var list []string
		for i := range apibanPage {
			list = append(list, fmt.Sprintf(`"203.0.%d.%d"`, page, i))
		}
		fmt.Fprintf(w, `{"ipaddress":[%s,"10.0.0.1","x"],"ID":"%d"}`, strings.Join(list, ","), page+1)
	})
	c.Source, c.URL, c.Key = config.SourceAPIBAN, config.Hide(s.URL+"/api"), config.Hide(token)

	l, err := fetch(t.Context(), c, nil)
	if err != nil {
		t.Fatal(describe(err))
	}
	want := []string{"/api/" + token + "/banned", "/api/" + token + "/banned/1", "/api/" + token + "/banned/2"}
	if len(l.Prefixes) != 2*apibanPage || l.ID != "2" || l.More || l.Bad != 2 || !slices.Equal(asked, want) {
		t.Errorf("%d prefixes, ID %s, more %t, %d bad, asked %q", len(l.Prefixes), l.ID, l.More, l.Bad, asked)
	}

	// Nothing new keeps what there is; what is old goes.
	none.Store(true)
	for i := range l.Seen {
		if i%2 == 0 {
			l.Seen[i] -= 8 * 24 * 3600
		} else {
			l.Seen[i] += 8 * 24 * 3600 // by a clock that was wrong
		}
	}
	if l, err = fetch(t.Context(), c, l); err != nil || len(l.Prefixes) != apibanPage || l.ID != "2" {
		t.Errorf("%v, %v", l, err)
	}

	bad, _ := publisher(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprintf(w, `{"ipaddress":"rate limit exceeded for %s", "ID":"unauthorized"}`, token)
	})
	bad.Source, bad.Key = config.SourceAPIBAN, c.Key
	if _, err := fetch(t.Context(), bad, nil); err == nil || describe(err) != "it answered HTTP 400" {
		t.Errorf("refused: %v", err)
	}
}

// What the disk has is what was written, or nothing.
func TestCache(t *testing.T) {
	dir := t.TempDir()
	c := config.Feed{Name: "test", URL: config.Hide("https://a.example/" + token)}
	now := time.Now()
	l := &List{
		Prefixes: []netip.Prefix{
			netip.MustParsePrefix("203.0.113.0/24"), netip.MustParsePrefix("2001:db8::/32"),
		},
		Seen: []int64{5, 6}, ID: "7", ETag: `"x"`, Modified: "then", Fetched: now.Add(-time.Hour), Bad: 1,
		BadLines: []int{3},
	}
	if _, err := load(dir, c, now); !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	if err := save(dir, c, l); err != nil {
		t.Fatal(err)
	}
	got, err := load(dir, c, now)
	if err != nil || !slices.Equal(got.Prefixes, l.Prefixes) || !slices.Equal(got.Seen, l.Seen) ||
		got.ID != "7" || got.ETag != l.ETag || got.Bad != 1 || now.Sub(got.Fetched).Round(time.Minute) != time.Hour {
		t.Fatalf("%+v, %v", got, err)
	}

	// The age follows a clock that jumps: a list of the future is new.
	if got, err := load(dir, c, now.Add(-9*365*24*time.Hour)); err != nil ||
		got.Fetched.After(now.Add(-8*365*24*time.Hour)) {
		t.Errorf("a clock of the past: %+v, %v", got, err)
	}

	path := cachePath(dir, c.Name)
	whole, err := os.ReadFile(path)
	if err != nil || bytes.Contains(whole, []byte(token)) {
		t.Fatal("the token is on the disk", err)
	}
	for i := range whole {
		broken := slices.Clone(whole)
		broken[i] ^= 1
		if err := os.WriteFile(path, broken, 0o600); err != nil {
			t.Fatal(err)
		}
		if l, err := load(dir, c, now); err == nil && i > bytes.IndexByte(whole, '\n') {
			t.Fatalf("with byte %d changed: %+v", i, l)
		}
	}
	if err := os.WriteFile(path, whole[:len(whole)-5], 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := load(dir, c, now); !errors.Is(err, errCache) {
		t.Errorf("cut off: %v", err)
	}

	c2 := c
	c2.URL = config.Hide("https://b.example/")
	if err := os.WriteFile(path, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := load(dir, c2, now); !errors.Is(err, errOrigin) {
		t.Errorf("of another URL: %v", err)
	}
	sweep(dir, []config.Feed{c})
	if _, err := load(dir, c, now); err != nil {
		t.Errorf("swept away: %v", err)
	}
	sweep(dir, nil)
	if _, err := load(dir, c, now); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("not swept away: %v", err)
	}
}
