package sqs

// batchOutput is the answer of a batch action.
type batchOutput[T any] struct {
	Successful []T           `json:",omitempty"`
	Failed     []failedEntry `json:",omitempty"`
}

type failedEntry struct {
	Id          string
	SenderFault bool
	Code        string
	Message     string
}

func (o *batchOutput[T]) fail(id string, err error) {
	e := asAPIError(err)
	o.Failed = append(o.Failed, failedEntry{id, e.senderFault(), e.code, e.message})
}

// checkBatch applies the rules for a batch as a whole.
func checkBatch(entryName string, ids []string) error {
	if len(ids) == 0 {
		return errBatch("EmptyBatchRequest", "There should be at least one %s in the request.", entryName)
	}
	if len(ids) > maxBatchEntries {
		return errBatch("TooManyEntriesInBatchRequest", "Maximum number of entries per request are %d. You have sent %d.",
			maxBatchEntries, len(ids))
	}
	seen := make(map[string]bool, len(ids))
	for _, id := range ids {
		if !legalEntryID(id) {
			return errBatch("InvalidBatchEntryId",
				"A batch entry id can only contain alphanumeric characters, hyphens and underscores. "+
					"It can be at most %d letters long.", maxQueueName)
		}
		if seen[id] {
			return errBatch("BatchEntryIdsNotDistinct", "Id %s repeated.", id)
		}
		seen[id] = true
	}
	return nil
}
