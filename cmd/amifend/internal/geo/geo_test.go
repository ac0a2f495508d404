package geo

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/maxmind/mmdbwriter/mmdbtype"
	"golang.org/x/sys/unix"

	"github.com/amifend/amifend/cmd/amifend/internal/config"
	"github.com/amifend/amifend/cmd/amifend/internal/control"
	"github.com/amifend/amifend/cmd/amifend/internal/geo/geotest"
	"github.com/amifend/amifend/cmd/amifend/internal/logtest"
)

var (
	built = time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	seven = netip.MustParseAddr("203.0.113.7")
)

const documentation = "203.0.113.0/24"

// run runs an atlas that looks at its files ten times a second.
func run(t *testing.T, c config.Geo, r Resolver) *Atlas {
	t.Helper()
	_, log := logtest.New()
	a := New(Options{Config: c, Log: log, Resolver: r, Every: 100 * time.Millisecond})
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { a.Run(ctx) })
	t.Cleanup(func() {
		cancel()
		running.Wait()
	})
	return a
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !is(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it never came: " + what)
		}
	}
}

// The formats of the files that people use.
func TestFormats(t *testing.T) {
	for name, tc := range map[string]struct {
		record mmdbtype.Map
		want   string
	}{
		"GeoLite2 Country":    {geotest.Country("DE"), "DE"},
		"GeoLite2 ASN, DB-IP": {geotest.Network(64500, "Example GmbH"), "AS64500 Example GmbH"},
		"IPinfo country":      {mmdbtype.Map{"country": mmdbtype.String("DE")}, "DE"},
		"IPinfo ASN": {
			mmdbtype.Map{
				"asn": mmdbtype.String("AS64500"), "name": mmdbtype.String("Example"),
			},
			"AS64500 Example",
		},
		"a code that is none": {mmdbtype.Map{"country": mmdbtype.String("\x1b[31m")}, ""},
		"registered elsewhere": {
			mmdbtype.Map{"registered_country": geotest.Country("US")["country"]}, "",
		},
		"another type": {
			mmdbtype.Map{"autonomous_system_number": mmdbtype.String("x")}, "",
		},
		"IPinfo Lite": {
			mmdbtype.Map{
				"country": mmdbtype.String("Germany"), "country_code": mmdbtype.String("DE"),
				"asn": mmdbtype.String("AS64500"), "as_name": mmdbtype.String("Example"),
			},
			"DE, AS64500 Example",
		},
		"DB-IP with ISP": {
			mmdbtype.Map{
				"country": mmdbtype.Map{"iso_code": mmdbtype.String("DE")},
				"traits":  geotest.Network(64500, "Example"),
			},
			"DE, AS64500 Example",
		},
		"a hostile name": {
			geotest.Network(64500, "\x1b[31mA\u202eB\n"), `AS64500 "\x1b[31mA\xe2\x80\xaeB\n"`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			path := geotest.Write(t, "a.mmdb", "x", built, geotest.Records{documentation: tc.record})
			f := file{path: path}
			f.look(mostFiles)
			if f.problem != "" {
				t.Fatal(f.problem)
			}
			defer f.database.free()
			var o control.Origin
			f.database.fill(&o, seven)
			if got := o.String(); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
			o = control.Origin{}
			f.database.fill(&o, netip.MustParseAddr("198.51.100.1"))
			f.database.fill(&o, netip.MustParseAddr("2001:db8::1"))
			f.database.fill(&o, netip.Addr{})
			if o != (control.Origin{}) {
				t.Errorf("of another address: %+v", o)
			}
		})
	}
}

// Country and network come from two files. A file that is replaced is read anew.
func TestFilesAreReadWhenTheyChange(t *testing.T) {
	country := geotest.Write(t, "country.mmdb", "x", built,
		geotest.Records{documentation: geotest.Country("DE")})
	network := filepath.Join(t.TempDir(), "later.mmdb")
	a := run(t, config.Geo{Files: []string{country, network}}, nil)
	of := func(want string) func() bool {
		return func() bool { return a.Of(seven).String() == want }
	}
	eventually(t, "the country", of("DE"))
	if p := a.Problems(); len(p) != 1 || p[0].Path != network {
		t.Errorf("problems: %+v", p)
	}

	geotest.Write(t, network, "x", built,
		geotest.Records{documentation: geotest.Network(64500, "Example")})
	eventually(t, "the network", of("DE, AS64500 Example"))
	geotest.Write(t, country, "x", built, geotest.Records{documentation: geotest.Country("AT")})
	eventually(t, "another country", of("AT, AS64500 Example"))
	if p := a.Problems(); len(p) != 0 {
		t.Errorf("problems: %+v", p)
	}
	if got := a.OfPrefix(netip.MustParsePrefix(documentation)).String(); got != "AT, AS64500 Example" {
		t.Errorf("of the network: %q", got)
	}

	a.Set(config.Geo{})
	eventually(t, "no name without files", of(""))
}

// A file that is truncated while it is in use costs nothing: it is not mapped. What was read before
// stays, and so it does when the new file is broken.
func TestTruncatedWhileInUse(t *testing.T) {
	records := geotest.Records{}
	for i := range 256 {
		records[fmt.Sprintf("203.0.%d.0/24", i)] = geotest.Network(uint32(i+1), strings.Repeat("x", 40))
	}
	path := geotest.Write(t, "a.mmdb", "x", built, records)
	a := run(t, config.Geo{Files: []string{path}}, nil)
	eventually(t, "the names", func() bool { return a.Of(seven) != nil })

	if err := os.Truncate(path, 100); err != nil {
		t.Fatal(err)
	}
	for i := range 256 {
		if a.Of(netip.MustParseAddr(fmt.Sprintf("203.0.%d.1", i))) == nil {
			t.Fatal("a name is lost")
		}
	}
	eventually(t, "the problem", func() bool { return len(a.Problems()) == 1 })
	if a.Of(seven) == nil {
		t.Errorf("after it was noticed: %v, %+v", a.Of(seven), a.Problems())
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the missing file is told", func() bool {
		return strings.Contains(a.Problems()[0].Text, "no such file")
	})
}

// What is no database is refused, without waiting and without reading all of it.
func TestRefusedFiles(t *testing.T) {
	dir := t.TempDir()
	put := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	pipe := filepath.Join(dir, "pipe")
	if err := unix.Mkfifo(pipe, 0o644); err != nil {
		t.Fatal(err)
	}
	large := put("large", "")
	if err := os.Truncate(large, mostFile+1); err != nil { // no block of the disk is used
		t.Fatal(err)
	}

	for path, want := range map[string]string{
		pipe: "not a regular file", dir: "not a regular file", "/dev/zero": "not a regular file",
		large: "at most 256", put("empty", ""): "empty", put("text", "hello"): "MaxMind DB form",
		put("a.gz", "\x1f\x8b\x08"): "gunzip", filepath.Join(dir, "none"): "no such file",
		put("marker", "\xab\xcd\xefMaxMind.com"): "MaxMind DB form",
	} {
		if _, err := Read(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", filepath.Base(path), err, want)
		}
	}
	path := geotest.Write(t, "a.mmdb", "DBIP-Country-Lite", built,
		geotest.Records{"8.8.8.0/24": geotest.Country("US")})
	if info, err := Read(path); err != nil || info.Kind != "DBIP-Country-Lite" || !info.Country ||
		!info.Built.Equal(built) {
		t.Errorf("%+v, %v", info, err)
	}
	f := file{path: path}
	if f.look(10); !strings.Contains(f.problem, "all files together") {
		t.Errorf("without room: %q", f.problem)
	}
}

// A damaged file makes names wrong or missing. It ends nothing, and no name is unprintable.
func TestDamagedFiles(t *testing.T) {
	good := geotest.Bytes(t, "x", built, geotest.Records{
		documentation: geotest.Network(64500, "Example GmbH"), "8.8.8.0/24": geotest.Country("US"),
		"2001:db8::/32": geotest.Country("DE"),
	})
	r := rand.New(rand.NewPCG(1, 2))
	path := filepath.Join(t.TempDir(), "a.mmdb")
	opened := 0
	for i := range 3000 {
		bad := append([]byte(nil), good...)
		if i < 300 {
			bad = bad[:r.IntN(len(bad))]
		}
		for range r.IntN(6) {
			if len(bad) > 0 {
				bad[r.IntN(len(bad))] = byte(r.Uint32())
			}
		}
		if err := os.WriteFile(path, bad, 0o644); err != nil {
			t.Fatal(err)
		}
		f := file{path: path}
		if f.look(mostFiles); f.database == nil {
			continue
		}
		opened++
		for _, text := range []string{"203.0.113.7", "8.8.8.8", "2001:db8::1", "255.255.255.255", "::"} {
			var o control.Origin
			f.database.fill(&o, netip.MustParseAddr(text))
			for _, c := range []byte(o.String()) {
				if c < ' ' || c > '~' {
					t.Fatalf("a name with byte %x", c)
				}
			}
		}
		f.database.free()
	}
	if opened == 0 {
		t.Error("no damaged file could be opened: the test shows nothing")
	}
}

// Whatever a file holds, it is refused or names less: nothing panics, hangs or reaches a terminal.
func FuzzDatabase(f *testing.F) {
	for _, records := range []geotest.Records{
		{"203.0.113.0/24": geotest.Country("DE")},
		{"203.0.113.0/24": geotest.Network(64500, "Example")},
	} {
		whole := geotest.Bytes(f, "DBIP-Country-Lite", built, records)
		f.Add(whole)
		f.Add(whole[:len(whole)/2])
	}
	f.Fuzz(func(t *testing.T, memory []byte) {
		reader, err := openReader(memory)
		if err != nil {
			return
		}
		d := &database{reader: reader, kind: printable(reader.Metadata.DatabaseType)}
		for _, addr := range []netip.Addr{seven, netip.MustParseAddr("2001:db8::7")} {
			var o control.Origin
			d.fill(&o, addr)
			for _, c := range []byte(o.String() + d.kind) {
				if c < ' ' || c > '~' {
					t.Fatalf("a name with byte %x", c)
				}
			}
		}
	})
}
