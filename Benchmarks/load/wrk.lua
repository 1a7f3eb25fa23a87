-- Prints what wrk counted, errors and all latencies, as one line of JSON behind the word "result".
done = function(summary, latency, requests)
   local errors = summary.errors
   local pairs_of = {}
   for i = 1, #latency do
      local microseconds, count = latency(i)
      pairs_of[i] = string.format("[%d,%d]", microseconds, count)
   end
   io.write(string.format(
      'result {"requests": %d, "bytes": %d, "errors": %d, "latency_histogram": [%s]}\n',
      summary.requests, summary.bytes,
      errors.connect + errors.read + errors.write + errors.status + errors.timeout,
      table.concat(pairs_of, ",")))
end
