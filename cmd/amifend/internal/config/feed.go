package config

import (
	"cmp"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
)

// Feed is a public list of addresses that are dropped: a [[feed]] table.
type Feed struct {
	Name   string // unique; it is part of names in the kernel and on the disk
	Source string // a name of [FeedSources]; "": a list of the URL or the file
	URL    Hidden // it may hold a token; of APIBAN the base of the API
	File   string // absolute; "": there is a URL
	Key    Hidden // of an API
	CAFile string // PEM file of the CAs to trust, absolute; "": the system's
	Every  time.Duration
}

// SourceAPIBAN is the source that has an API of its own, with a key.
const SourceAPIBAN = "apiban"

// feedSource is a publisher that [[feed]] knows by name.
type feedSource struct {
	name, url string
	every     time.Duration
}

// feedSources returns the publishers. Spamhaus asks for at least an hour between two fetches.
//
// Where the URLs and the formats are from, looked up in November 2026:
//   - https://www.spamhaus.org/drop/ names both JSON files. Each line is an object with cidr, sblid and
//     rir, and the last one has type "metadata", timestamp, size and records.
//   - https://voipbl.org documents /update/: an address or a prefix a line, behind comments with #.
//     FireHOL's blocklist-ipsets and SpiderFoot (sfp_voipbl) read it like that.
//   - https://apiban.org/doc.html documents /api/KEY/banned and /api/KEY/banned/ID, as its own clients
//     ask (github.com/apiban/apiban-client-iptables).
func feedSources() []feedSource {
	return []feedSource{
		{"spamhaus_drop_v4", "https://www.spamhaus.org/drop/drop_v4.json", 12 * time.Hour},
		{"spamhaus_drop_v6", "https://www.spamhaus.org/drop/drop_v6.json", 12 * time.Hour},
		{"voipbl", "https://voipbl.org/update/", 6 * time.Hour},
		{SourceAPIBAN, "https://apiban.org/api", 15 * time.Minute},
	}
}

// FeedSources returns the names that source can have.
func FeedSources() (names []string) {
	for _, s := range feedSources() {
		names = append(names, s.name)
	}
	return names
}

// The bounds and defaults of [[feed]].
const (
	mostFeeds        = 16
	leastEvery       = 5 * time.Minute
	mostEvery        = 3 * 24 * time.Hour
	defaultEvery     = 6 * time.Hour
	defaultEveryFile = 10 * time.Minute
)

var feedName = regexp.MustCompile(`^[a-z][a-z0-9_-]{0,31}$`)

// feeds reads the [[feed]] tables.
func (l *loader) feeds(raw []rawFeed) []Feed {
	return tables(l, "feed", mostFeeds, raw, l.feed, func(f Feed) string { return f.Name })
}

func (l *loader) feed(key string, r rawFeed) Feed {
	f := Feed{Source: get(l, key+".source", r.Source, "")}
	known := feedSource{every: defaultEvery}
	if f.Source != "" {
		i := slices.Index(FeedSources(), f.Source)
		if i < 0 {
			l.problem(key+".source", "is not a known list; possible are %s, and url or file for others",
				strings.Join(FeedSources(), ", "))
			f.Source = ""
		} else {
			known = feedSources()[i]
		}
	}

	l.feedPlace(key, r, &f, known)
	l.feedKey(key, r, &f)
	if name := l.text(key+".ca_file", r.CAFile, false); name != "" {
		f.CAFile = l.abs(name)
		if !l.policyOnly {
			if err := checkCA(f.CAFile); err != nil {
				l.problem(key+".ca_file", "%s", err)
			}
		}
	}

	if f.File != "" {
		known.every = defaultEveryFile
	}
	f.Every = get(l, key+".every", r.Every, known.every)
	if f.Every < leastEvery || f.Every > mostEvery {
		l.problem(key+".every", "%v is out of range; write a duration from \"5m\" to \"3d\"", f.Every)
	}

	// The name of a publisher is the name of its feed, unless the config gives another.
	f.Name = cmp.Or(get(l, key+".name", r.Name, ""), f.Source)
	switch {
	case f.Name == "" && r.Name.wrong == "" && !r.Source.set:
		l.problem(key+".name", "is missing; write name = \"…\", as logs and commands shall call it")
	case f.Name != "" && !feedName.MatchString(f.Name):
		l.problem(key+".name", "cannot be used; write small letters, digits, _ and -, up to 32, with a "+
			"letter first")
		f.Name = ""
	}
	return f
}

// feedPlace reads where a list is: at its publisher's, at a URL, or in a file.
func (l *loader) feedPlace(key string, r rawFeed, f *Feed, known feedSource) {
	file := l.text(key+".file", r.File, false)
	switch {
	case file != "" && (r.URL.set || r.URLFile.set || r.Source.set):
		l.problem(key+".file", "excludes source, url and url_file; delete it, or them")
	case file != "":
		f.File = l.abs(file)
		return
	case !r.URL.set && !r.URLFile.set && known.url != "":
		f.URL = Hide(known.url)
		return
	case !r.URL.set && !r.URLFile.set && !r.Source.set && !r.File.set:
		l.problem(key, "has no list; write source = \"…\" (%s), url = \"https://…\" or file = \"…\"",
			strings.Join(FeedSources(), ", "))
		return
	}

	text, ok := l.hidden(key, "url", r.URL, r.URLFile, false)
	if !ok || text == "" {
		return
	}
	at := key + ".url"
	if r.URLFile.set {
		at = key + ".url_file"
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.Fragment != "" ||
		strings.ContainsFunc(text, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }) {
		l.problem(at, "is not a URL of https; write one like https://lists.example.com/drop.txt: "+
			"what can be changed on its way could drop anybody")
		return
	}
	f.URL = Hide(text)
}

// feedKey reads the key of an API.
func (l *loader) feedKey(key string, r rawFeed, f *Feed) {
	name := get(l, key+".key_file", r.KeyFile, "")
	switch {
	case f.Source != SourceAPIBAN && r.KeyFile.set:
		l.problem(key+".key_file", "belongs to source = %q only; delete it", SourceAPIBAN)
	case f.Source != SourceAPIBAN || r.KeyFile.wrong != "" || l.policyOnly:
	case !r.KeyFile.set:
		l.problem(key+".key_file", "is missing; write the name of a file with the API key alone, which "+
			"https://apiban.org gives you")
	default:
		text, ok := l.readSecret(key+".key_file", name)
		text = strings.TrimSpace(text)
		switch {
		case !ok:
		case text == "" || strings.ContainsFunc(text, unicode.IsControl):
			l.problem(key+".key_file", "holds no key; write one line of text into the file")
		default:
			f.Key = Hide(text)
		}
	}
}
