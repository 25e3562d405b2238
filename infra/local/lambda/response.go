package lambda

import (
	"bytes"
	"encoding/json"
)

// jsonSpace is the white space of JSON. Go's own is wider: a form feed makes JSON invalid.
const jsonSpace = " \t\r\n"

// failedMessages reads a partial batch response. It returns which of the messages ids have failed, or
// all = true where the response is invalid. The rules are Lambda's (developer guide, handling errors
// for an SQS event source, success and failure conditions):
//
//   - success: an empty list, a null list (Go's nil slice), an empty object, a null or an empty response;
//   - all failed: invalid JSON; an itemIdentifier that is empty, null, misnamed, or names no message of the batch.
//
// Where the guide gives no rule: an object without batchItemFailures is success, as {} is; any other
// shape is failure, because a wrong failure costs a second delivery and a wrong success may lose the
// message. Names are case-sensitive.
func failedMessages(response []byte, ids []string) (failed map[string]struct{}, all bool) {
	response = bytes.Trim(response, jsonSpace)
	if len(response) == 0 {
		return nil, false
	}
	var object map[string]json.RawMessage // a struct would take "BatchItemFailures" too
	if json.Unmarshal(response, &object) != nil {
		return nil, true
	}
	list, ok := object["batchItemFailures"]
	if !ok {
		return nil, false
	}
	var items []map[string]json.RawMessage
	if json.Unmarshal(list, &items) != nil {
		return nil, true
	}
	if len(items) == 0 {
		return nil, false
	}
	known := make(map[string]struct{}, len(ids))
	for _, id := range ids {
		known[id] = struct{}{}
	}
	failed = make(map[string]struct{}, len(items))
	for _, item := range items {
		var id *string
		if json.Unmarshal(item["itemIdentifier"], &id) != nil || id == nil {
			return nil, true
		}
		if _, ok := known[*id]; !ok || *id == "" {
			return nil, true
		}
		failed[*id] = struct{}{}
	}
	return failed, false
}
