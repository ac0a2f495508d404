package setup

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"github.com/amifend/amifend/cmd/amifend/internal/safefile"
)

// recordName is the name of the record in the config folder, which belongs to root. In a folder of
// the service, an attacker who controls the service could choose the files that root removes.
const recordName = ".init.json"

// record lists the files that init wrote.
type record struct {
	Files  []recorded `json:"files"`
	Folder string     `json:"folder,omitempty"` // the config folder, if init made it
}

// recorded is one file.
type recorded struct {
	Path   string `json:"path"` // without the root
	SHA256 string `json:"sha256"`
}

// hash returns the hash of a content in the form of the record.
func hash(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// add adds a file, in place of an earlier entry with its path.
func (rec *record) add(path string, data []byte) {
	rec.Files = slices.DeleteFunc(rec.Files, func(f recorded) bool { return f.Path == path })
	rec.Files = append(rec.Files, recorded{path, hash(data)})
}

// readRecord reads the record in a folder. If there is none, it returns an empty one. It refuses a
// record that somebody else than root may have written.
func readRecord(folder *safefile.Folder) (*record, error) {
	rec := &record{}
	b, err := folder.Read(recordName)
	if errors.Is(err, fs.ErrNotExist) {
		return rec, nil
	}
	if err != nil {
		return nil, err
	}

	// Whoever can change the folder can replace the record.
	for _, name := range []string{recordName, "."} {
		st, err := folder.Stat(name)
		if err != nil {
			return nil, err
		}
		if int(st.Uid) != os.Geteuid() || st.Mode&0o022 != 0 {
			return nil, advise(folder.Path(name)+" can be changed by others than root, so the "+
				"record is not used", "look at it, and remove "+folder.Path(recordName))
		}
	}

	if err := json.Unmarshal(b, rec); err != nil {
		return nil, advise(fmt.Sprintf("%s cannot be read: %s", folder.Path(recordName), err),
			"remove it; then nobody knows any more which files amifend init wrote")
	}
	return rec, nil
}

// write writes the record, for root alone.
func (rec *record) write(folder *safefile.Folder) error {
	b, err := json.MarshalIndent(rec, "", "  ")
	if err != nil {
		return err
	}
	rights := safefile.Rights{Mode: 0o600, UID: os.Geteuid(), GID: os.Getegid()}
	return folder.Replace(recordName, append(b, '\n'), rights)
}
