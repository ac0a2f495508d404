package feed

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"os"
	"syscall"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/config"
)

const (
	fetchTime     = 2 * time.Minute // from the connection to the end of the list
	headerTime    = 30 * time.Second
	mostHeader    = 64 << 10
	mostRedirects = 3
	mostValidator = 1024 // bytes of an ETag or a date that are kept
)

// List is a list of a feed. It does not change.
type List struct {
	Prefixes []netip.Prefix // sorted; they do not overlap
	Seen     []int64        // APIBAN: when each was named, in Unix seconds; nil: another feed
	ID       string         // APIBAN: where to go on
	More     bool           // APIBAN: there is more to be had

	// When the publisher last confirmed it. The monotonic clock is used where both times have it.
	Fetched  time.Time
	ETag     string
	Modified string // Last-Modified, as it came
	Ignored  int
	Bad      int
	BadLines []int
}

// errUnchanged is returned for a list that is still the one that the caller has.
var errUnchanged = errors.New("it has not changed")

var (
	errHost     = errors.New("redirect to another host")
	errRedirect = errors.New("too many redirects")
)

// statusError is an answer that is not a success.
type statusError int

func (e statusError) Error() string { return fmt.Sprintf("HTTP %d", int(e)) }

// fetch fetches the list of a feed. last is the one that the caller has; nil: none. It returns
// errUnchanged if that is still the list. No other error is for people: see describe.
func fetch(ctx context.Context, c config.Feed, last *List) (*List, error) {
	if c.File != "" {
		return readFile(c.File, last)
	}

	ctx, cancel := context.WithTimeout(ctx, fetchTime)
	defer cancel()
	from := fetchURL
	if c.Source == config.SourceAPIBAN {
		from = fetchAPIBAN
	}
	l, err := from(ctx, c, last)

	// A publisher that hears of the end of the time may end the answer in good form, in the middle of the
	// list, before the connection is closed. Half a list must not be taken for a whole one.
	if err == nil && ctx.Err() != nil {
		return nil, ctx.Err()
	}
	return l, err
}

// fetchURL fetches a list that one answer holds.
func fetchURL(ctx context.Context, c config.Feed, last *List) (*List, error) {
	client, err := newClient(c)
	if err != nil {
		return nil, err
	}
	res, err := get(ctx, client, c.URL.Reveal(), last)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()

	// net/http unpacks what comes packed. Parse bounds the bytes after that.
	p, err := Parse(res.Body)
	if err != nil {
		return nil, err
	}

	l := listOf(p)
	l.ETag = validator(res.Header.Get("ETag"))
	l.Modified = validator(res.Header.Get("Last-Modified"))
	return l, nil
}

// listOf returns a list as of now.
func listOf(p *Parsed) *List {
	return &List{
		Prefixes: p.Prefixes, Ignored: p.Ignored, Bad: p.Bad, BadLines: p.BadLines,
		Fetched: time.Now(),
	}
}

// validator returns what is kept of a header.
func validator(text string) string {
	if len(text) > mostValidator {
		return ""
	}
	return text
}

// newClient returns a client for one fetch. Its transport is that of no other part, and its
// connections end with the answer.
func newClient(c config.Feed) (*http.Client, error) {
	conf := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.CAFile != "" {
		pem, err := readRegular(c.CAFile, 1<<20)
		if err != nil {
			return nil, refuse("its ca_file cannot be read")
		}
		conf.RootCAs = x509.NewCertPool()
		if !conf.RootCAs.AppendCertsFromPEM(pem) {
			return nil, refuse("its ca_file holds no certificate")
		}
	}

	return &http.Client{
		Transport: &http.Transport{
			Proxy:                  http.ProxyFromEnvironment,
			DialContext:            (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
			TLSClientConfig:        conf,
			TLSHandshakeTimeout:    10 * time.Second,
			ResponseHeaderTimeout:  headerTime,
			MaxResponseHeaderBytes: mostHeader,
			ForceAttemptHTTP2:      true,
			DisableKeepAlives:      true, // fetches are rare
		},
		CheckRedirect: func(r *http.Request, via []*http.Request) error {
			switch {
			case r.URL.Scheme != "https" || r.URL.Host != via[0].URL.Host:
				return errHost
			case len(via) > mostRedirects:
				return errRedirect
			}
			return nil
		},
	}, nil
}

// get sends a request. Any answer but a success becomes an error, and its body is not read. last
// makes the request conditional.
func get(ctx context.Context, client *http.Client, to string, last *List) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, to, http.NoBody)
	if err != nil {
		return nil, refuse("its URL cannot be used")
	}
	if r.URL.Scheme != "https" {
		return nil, refuse("its URL is not one of https")
	}

	r.Header.Set("User-Agent", "amifend")
	if last != nil && last.ETag != "" {
		r.Header.Set("If-None-Match", last.ETag)
	}
	if last != nil && last.Modified != "" {
		r.Header.Set("If-Modified-Since", last.Modified)
	}

	res, err := client.Do(r)
	switch {
	case err != nil:
		return nil, err
	case res.StatusCode == http.StatusOK:
		return res, nil
	}
	res.Body.Close()
	if res.StatusCode == http.StatusNotModified && last != nil {
		return nil, errUnchanged
	}
	return nil, statusError(res.StatusCode)
}

// readFile reads a list from this machine. Its time is that of the file: whoever writes the file may
// have stopped doing so.
func readFile(path string, last *List) (*List, error) {
	f, err := openRegular(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()

	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	id := fmt.Sprintf("%d-%d", st.ModTime().UnixNano(), st.Size())
	if last != nil && last.ETag == id {
		return nil, errUnchanged
	}

	p, err := Parse(f)
	if err != nil {
		return nil, err
	}
	l := listOf(p)
	l.ETag = id
	if age := time.Since(st.ModTime()); age > 0 { // a file of the future is new
		l.Fetched = l.Fetched.Add(-age)
	}
	return l, nil
}

// ReadFile reads the list of a file, as the daemon does. The error is for people, and does not name
// the file.
func ReadFile(path string) (*List, error) {
	l, err := readFile(path, nil)
	if err == nil {
		err = Sum(l.Prefixes).check()
	}
	if err != nil {
		return nil, errors.New(describe(err))
	}
	return l, nil
}

// errNotRegular is returned for a name that does not lead to a regular file.
var errNotRegular = errors.New("not a regular file")

// openRegular opens a regular file. A FIFO would make the open itself wait without O_NONBLOCK.
func openRegular(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	if st, err := f.Stat(); err != nil || !st.Mode().IsRegular() {
		f.Close()
		return nil, errNotRegular
	}
	return f, nil
}

func readRegular(path string, most int64) ([]byte, error) {
	f, err := openRegular(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, most))
}

// describe returns what an error means, in words of ours.
func describe(err error) string {
	var (
		refusal *RefusedError
		status  statusError
		dns     *net.DNSError
		op      *net.OpError
		timeout net.Error
		cert    *tls.CertificateVerificationError
		host    x509.HostnameError
		path    *fs.PathError
	)
	switch {
	case errors.As(err, &refusal):
		return refusal.text
	case errors.Is(err, errHost):
		return "it redirects to another host, or away from https, which is not followed: write the URL " +
			"that it leads to, if you trust that host"
	case errors.Is(err, errRedirect):
		return "it redirects again and again"
	case errors.As(err, &status) && (status == http.StatusUnauthorized || status == http.StatusForbidden):
		return fmt.Sprintf("it answered HTTP %d: it does not take the key, or wants one", int(status))
	case errors.As(err, &status) && status == http.StatusTooManyRequests:
		return "it answered HTTP 429: it was asked too often"
	case errors.As(err, &status):
		return fmt.Sprintf("it answered HTTP %d", int(status))
	case errors.As(err, &cert), errors.As(err, &host):
		return "its certificate is not trusted"
	case errors.Is(err, errNotRegular):
		return "its file is not a regular file"
	case errors.As(err, &path):
		return describeFile(path)
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return "it did not answer in time"
	case errors.As(err, &dns):
		return "its name cannot be resolved"
	case errors.As(err, &op) && op.Op == "dial":
		return "it cannot be reached"
	}
	return "the connection broke, or its answer is not one of HTTP"
}

// describeFile returns why a file cannot be read. A connection, too, may lack a permission, so only
// errors of files come here.
func describeFile(err *fs.PathError) string {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "its file does not exist"
	case errors.Is(err, fs.ErrPermission):
		return "its file cannot be read by the user of amifend"
	}
	return "its file cannot be read"
}
