"""Recordings as sound: decoding, resampling, finding speech, judging quality, cutting."""
