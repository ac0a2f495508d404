package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/amifend/amifend/firewall"
)

// A daemon that runs would put the table back.
func TestFlushBesideADaemon(t *testing.T) {
	const table = "amifend_flush_test"
	lock, err := firewall.Lock(table)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()

	path := filepath.Join(t.TempDir(), "config.toml")
	if err := os.WriteFile(path, []byte("[firewall]\ntable = \""+table+"\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}

	err = (&Flush{Kernel: true, Config: path}).Run(t.Context())
	if err == nil ||
		!strings.Contains(Text(err),
			"\n  do: it would put the table back: systemctl stop amifend") {
		t.Errorf("error %v", err)
	}
}
