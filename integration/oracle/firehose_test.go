package oracle

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"

	"github.com/spillwayhq/spillway/shared/archive"
)

// firehose is the part of Amazon Data Firehose that deliver calls, over HTTP. Now and then it takes
// a part of the records, none of them, or all without an answer.
type firehose struct{ memoryArchive }

func (f *firehose) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var call struct {
		Records []struct{ Data []byte }
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler) // the function was killed
	}
	if err := json.Unmarshal(body, &call); err != nil ||
		r.Header.Get("X-Amz-Target") != "Firehose_20150804.PutRecordBatch" {
		panic(fmt.Sprintf("a call of Firehose: %v: %.200s", err, body))
	}
	type answer struct {
		RecordID  string `json:"RecordId"`
		ErrorCode string
	}
	var out struct {
		FailedPutCount   int
		RequestResponses []answer
	}
	part, none, lost := rand.IntN(5) == 0, rand.IntN(10) == 0, rand.IntN(10) == 0
	for _, record := range call.Records {
		if none || part && rand.IntN(2) == 0 {
			out.FailedPutCount++
			out.RequestResponses = append(out.RequestResponses, answer{ErrorCode: "ServiceUnavailableException"})
			continue
		}
		_ = f.Put(r.Context(), []archive.Frame{{Data: record.Data}}) // fails if nobody waits for the answer
		out.RequestResponses = append(out.RequestResponses, answer{RecordID: "1"})
	}
	if lost {
		panic(http.ErrAbortHandler)
	}
	_ = json.NewEncoder(w).Encode(out)
}
