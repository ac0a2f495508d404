// Package geotest writes files in MaxMind DB form for tests.
package geotest

import (
	"bytes"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/maxmind/mmdbwriter"
	"github.com/maxmind/mmdbwriter/mmdbtype"
)

// Records are the records of a file, by prefix.
type Records map[string]mmdbtype.Map

// Country returns a record in the form of GeoLite2 Country and DB-IP lite.
func Country(code string) mmdbtype.Map {
	return mmdbtype.Map{"country": mmdbtype.Map{
		"iso_code": mmdbtype.String(code),
		"names":    mmdbtype.Map{"en": mmdbtype.String("the country " + code)},
	}}
}

// Network returns a record in the form of GeoLite2 ASN and DB-IP lite.
func Network(number uint32, name string) mmdbtype.Map {
	return mmdbtype.Map{
		"autonomous_system_number":       mmdbtype.Uint32(number),
		"autonomous_system_organization": mmdbtype.String(name),
	}
}

// Write writes a file of a type, and returns its name. As the programs that fetch such files do, it
// puts a new file in the place of the old one.
func Write(t testing.TB, name, kind string, built time.Time, records Records) string {
	t.Helper()
	path := name
	if !filepath.IsAbs(path) {
		path = filepath.Join(t.TempDir(), name)
	}
	part := path + ".part"
	if err := os.WriteFile(part, Bytes(t, kind, built, records), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(part, path); err != nil {
		t.Fatal(err)
	}
	return path
}

// Bytes returns the content of such a file.
func Bytes(t testing.TB, kind string, built time.Time, records Records) []byte {
	t.Helper()
	tree, err := mmdbwriter.New(mmdbwriter.Options{
		DatabaseType: kind, BuildEpoch: built.Unix(), RecordSize: 28,
		IncludeReservedNetworks: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	for text, record := range records {
		_, prefix, err := net.ParseCIDR(text)
		if err == nil {
			err = tree.Insert(prefix, record)
		}
		if err != nil {
			t.Fatal(err)
		}
	}

	var b bytes.Buffer
	if _, err := tree.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
