"""Files over HTTP, in the shape of OpenAI's audio API."""
