package control

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"
)

// backupType is the content type of the answer to Backup.
const backupType = "application/vnd.sqlite3"

// Backup writes a copy of the daemon's journal, an SQLite database, to w.
func (c *Client) Backup(ctx context.Context, w io.Writer) error {
	res, err := c.do(ctx, http.MethodPost, "backup", nil, nil)
	if err != nil {
		return err
	}
	defer res.Body.Close()

	// A daemon that ends in the middle must not leave half a file that looks whole.
	n, err := io.Copy(w, res.Body)
	if err == nil && n != res.ContentLength {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return fmt.Errorf("receive the journal: %w", err)
	}
	return nil
}

func (s *Server) backup(w http.ResponseWriter, r *http.Request, by Peer) (any, error) {
	f, err := s.Backup(r.Context())
	if err != nil {
		s.changed(by, "backup", err)
		return nil, err
	}
	defer f.Close()

	st, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("read the copy of the journal: %w", err)
	}
	w.Header().Set("Content-Type", backupType)
	w.Header().Set("Content-Length", strconv.FormatInt(st.Size(), 10))

	// An error of the connection tells the client by itself.
	n, _ := io.Copy(&timed{http.NewResponseController(w), w}, f)
	s.changed(by, "backup", nil, "bytes", n)
	return nil, nil //nolint:nilnil // the answer is written
}

// timed writes an answer of any size: only a client that stops reading is given up.
type timed struct {
	control *http.ResponseController
	w       io.Writer
}

func (t *timed) Write(p []byte) (int, error) {
	if err := t.control.SetWriteDeadline(time.Now().Add(answerTime)); err != nil {
		return 0, err
	}
	return t.w.Write(p)
}
